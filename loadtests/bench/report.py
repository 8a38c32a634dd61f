"""A benchmark's document on the terminal: the targets first, then what stands behind them."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

from loadtests.audit import print_report
from loadtests.bench.audits import Audited
from loadtests.bench.results import Document, Judged

# Component -> its heading in the table.
COMPONENTS = {"server": "server", "postgres": "pg", "redis": "redis", "generator": "client"}
GOAL_MARK = "[green]goal[/green]"
FIRST_MARK = "[green]first[/green]"
MISSED_MARK = "[yellow]not yet[/yellow]"


def print_audits(audited: Audited, console: Console) -> None:
    """A line for each database that passed, the whole report of one that did not."""
    for site in audited.sites:
        if site.report.passed:
            checks, rows = len(site.report.findings), site.report.rows
            console.print(
                f"Exactness audit of '{site.name}', {checks} checks over {rows:,} redemptions: "
                "[green]passed[/green]"
            )
        else:
            console.print(f"Database '{site.name}':")
            print_report(site.report, console)
    if audited.asked_again:
        console.print(
            f"{audited.asked_again:,} requests had no definite answer under load and were asked "
            "again after it."
        )


def print_document(document: Document, console: Console) -> None:
    """Three tables and the circumstances."""
    console.print(target_table(document))
    console.print()
    console.print(row_table(document))
    console.print()
    console.print(load_table(document))
    console.print()
    console.print(share_text(document), soft_wrap=True)
    console.print(circumstances(document), soft_wrap=True)


def target_table(document: Document) -> Table:
    headings = ("", "found", "range", "first", "goal", "reached")
    table = table_of("Targets", headings)
    for figure in document.judged.values():
        table.add_row(
            figure.title,
            figure_text(figure.median),
            f"{figure_text(figure.lowest)} to {figure_text(figure.highest)}",
            bound_text(figure, figure.target_first),
            bound_text(figure, figure.target_goal),
            mark_of(figure),
        )
    table.caption = "; ".join(
        f"{one.title}: {one.note}" for one in document.judged.values() if one.note
    )
    return table


def table_of(title: str, headings: Sequence[str]) -> Table:
    """Narrow enough for 80 columns; names on the left, figures on the right."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1))
    for number, heading in enumerate(headings):
        justify: JustifyMethod = "right" if number else "left"
        table.add_column(heading, justify=justify, no_wrap=True)
    return table


def mark_of(figure: Judged) -> str:
    """Which target is reached."""
    if figure.met_goal:
        return GOAL_MARK
    return FIRST_MARK if figure.met_first else MISSED_MARK


def bound_text(figure: Judged, bound: float) -> str:
    return f"{'>=' if figure.is_better == 'higher' else '<='} {bound:g}"


def figure_text(value: float) -> str:
    """Ratios with two decimals, larger figures with fewer."""
    return f"{value:.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def row_table(document: Document) -> Table:
    title = "Closed loop, and microseconds of CPU for each item"
    table = table_of(title, ("", "items/s", "p50 ms", "p99 ms", *COMPONENTS.values(), "all"))
    rows = document.rows.items()
    for name, row in rows:
        each = row.cpu_microseconds_per_item
        table.add_row(
            name,
            f"{row.items_per_second.median:,.0f}",
            f"{row.latency_ms.p50:.1f}",
            f"{row.latency_ms.p99:.1f}",
            *(f"{each.get(component, 0.0):.0f}" for component in COMPONENTS),
            f"{sum(each.values()):.0f}",
        )
    for batch in document.curves.batch_sizes:
        each = batch.cpu_microseconds_per_item
        table.add_row(
            f"batches of {batch.items}",
            f"{batch.redemptions_per_second:,.0f}",
            f"{batch.p50_ms:.1f}",
            "",
            *(f"{each.get(component, 0.0):.0f}" for component in COMPONENTS),
            f"{sum(each.values()):.0f}",
        )
    return table


def load_table(document: Document) -> Table:
    saturation = document.curves.saturation_per_second
    title = f"Open loop, milliseconds from the intended time; saturation is {saturation:,.0f}/s"
    headings = ("load", "meant/s", "answered/s", "p50", "p90", "p99", "p99.9", "highest")
    table = table_of(title, headings)
    for load in document.curves.open_loop:
        latency = load.latency_ms
        table.add_row(
            f"{load.load_percent} %",
            f"{load.intended_per_second:,.0f}",
            f"{load.answered_per_second:,.0f}",
            *(
                f"{time:.1f}"
                for time in (latency.p50, latency.p90, latency.p99, latency.p999, latency.highest)
            ),
        )
    return table


def share_text(document: Document) -> str:
    """How evenly the workers of each server shared the work."""
    each = (
        f"{name} {'/'.join(f'{share:.0%}' for share in row.worker_shares)}"
        for name, row in document.rows.items()
    )
    return f"The workers' shares of their server's CPU: {', '.join(each)}."


def circumstances(document: Document) -> str:
    """What the figures hold for."""
    setup, machine = document.setup, document.machine
    postgres = machine.postgres
    return (
        f"{setup.workers} workers each, {setup.in_flight} calls in flight on {setup.connections} "
        f"connections, {setup.turns} turns of {setup.seconds:g} s, everything on {machine.cores} "
        f"cores ({machine.cpu}, {machine.kernel}); fsync {postgres.get('fsync')}, "
        f"synchronous_commit {postgres.get('synchronous_commit')}, a flush takes "
        f"{machine.flush_microseconds:,.0f} us; Postgres {machine.versions['postgres']}, "
        f"Redis {machine.versions['redis']}, Python {machine.versions['python']}. "
        f"It took {document.took_seconds:.0f} s."
    )
