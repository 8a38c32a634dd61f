"""What a run shows on the terminal: its plan, how far it is, and what was proved."""

import time
from types import TracebackType
from typing import Self

import rich.progress
from rich.console import Console
from rich.table import Table

from loadtests.faults.clients import Met
from loadtests.faults.report import RunReport
from loadtests.faults.schedule import Schedule

# Without a terminal every sign of life is a line of a log, so they come less often.
LOGGED_EVERY_SECONDS = 10.0


class Progress:
    """One bar; without a terminal a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told_at = float("-inf")
        self._what = ""
        self._bar = rich.progress.Progress(
            rich.progress.SpinnerColumn(),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def tell(self, what: str, done: float, met: Met | None = None) -> None:
        """`done` is from 0 to 1."""
        if met is not None and met.attempts:
            what += f", {met.attempts:,} requests: {met.granted:,} OK, {met.refused:,} refused,"
            what += f" {met.open:,} left open"
        self._bar.update(self._task, description=what, completed=done)
        if self._console.is_terminal:
            return
        now = time.monotonic()
        if now - self._told_at > LOGGED_EVERY_SECONDS:
            self._told_at = now
            self._console.print(f"  {what}", soft_wrap=True)


def print_schedule(console: Console, tier: str, schedule: Schedule) -> None:
    """The plan, so that a look at the log tells what a seed did."""
    faults = ", ".join(f"{count} {name}" for name, count in schedule.counts().items())
    console.print(
        f"Fault lab, {tier}, seed {schedule.seed}: {schedule.seconds:.0f} s with {faults}.",
        soft_wrap=True,
    )


def print_report(console: Console, report: RunReport) -> None:
    """A line for each invariant, then what the run met and what was open."""
    table = Table(title=f"Seed {report.seed}, {report.seconds:.0f} s", title_justify="left")
    for column in ("", "invariant", "checked", "violations"):
        table.add_column(column, justify="right" if column in ("checked", "violations") else "left")
    for one in report.invariants:
        mark = "[green]held[/green]" if one.held else "[red]FAIL[/red]"
        if one.skipped:
            mark = "not yet"
        elif not one.checked and not one.violations:
            mark = "[yellow]unseen[/yellow]"
        checked = f"{one.checked:,} {one.unit}" if one.checked else ""
        table.add_row(mark, f"{one.name}: {one.sentence}", checked, f"{one.violations:,}")
    console.print(table)
    for one in report.invariants:
        for example in one.examples:
            console.print(f"  {one.name}: {example}", markup=False, soft_wrap=True)
    console.print(
        "Met: " + ", ".join(f"{count:,} {name}" for name, count in report.counts.items()),
        soft_wrap=True,
    )
    open_ones = report.ambiguity
    console.print(
        f"{open_ones.attempts:,} requests were open at some time: {open_ones.committed:,} had been "
        f"committed, {open_ones.granted_later:,} were granted by a retry, {open_ones.refused:,} "
        f"refused, {open_ones.unresolved:,} stay unresolved.",
        soft_wrap=True,
    )
    for minimum in report.minimums:
        if not minimum.reached:
            console.print(
                f"The run proves nothing: only {minimum.counted:,} {minimum.name}, "
                f"{minimum.wanted:,} are wanted.",
                style="red",
                soft_wrap=True,
            )
    verdict = "Every invariant held." if report.passed else "The run did not pass."
    console.print(verdict, style="green" if report.passed else "red")
