"""Puts a run's measurements together as results.Document."""

from collections.abc import Mapping
from datetime import datetime

from loadtests.bench.audits import Audited, audit_results
from loadtests.bench.figures import (
    FIRST_FIFTH,
    MEMORY,
    P99_AT_50,
    RATIOS,
    judged,
    latency,
    ratio,
    row_of,
)
from loadtests.bench.fleet import Measured
from loadtests.bench.measure import Measurements
from loadtests.bench.plan import BATCH_ITEMS, TIMELINE_WINDOWS, Plan, batch_row
from loadtests.bench.results import (
    BatchSize,
    Curves,
    Document,
    Judged,
    Machine,
    Memory,
    OpenLoop,
    Row,
    Setup,
    Timeline,
    Window,
)
from loadtests.bench.rows import BATCH_ROWS, KINDS, OK, ROWS

MINUTE = 60.0
CALM_LOAD = 50


def document_of(
    plan: Plan,
    measured: Measurements,
    audited: Audited,
    machine: Machine,
    started_at: datetime,
    took_seconds: float,
) -> Document:
    """Everything that the run found."""
    rows = {
        name: row_of(name, rounds, share_of(name, audited))
        for name, rounds in (measured.rounds | {"fresh": [measured.timeline]}).items()
    }
    timeline = timeline_of(plan, measured.timeline)
    return Document(
        quick=plan.quick,
        started_at=started_at.isoformat(timespec="seconds"),
        took_seconds=round(took_seconds, 1),
        ratios={name: ratio(goal, rows) for name, goal in RATIOS.items()}
        | {"first_fifth_minute": first_fifth(plan, timeline)},
        latency_ms={"p99_at_50": p99_at_50(measured)},
        memory_mb={"worker": judged(MEMORY, [one.rss_mb for one in measured.memory] or [0.0])},
        rows={name: rows[name] for name in ROWS if name in rows},
        curves=Curves(
            saturation_per_second=measured.saturation,
            open_loop=[
                open_loop(percent, measured.saturation, one)
                for percent, one in measured.loads.items()
            ],
            batch_sizes=batch_sizes(plan, rows),
            timeline=timeline,
        ),
        memory=Memory(plan.full_offers, measured.memory),
        audit=audit_results(audited),
        setup=setup_of(plan),
        machine=machine,
    )


def share_of(name: str, audited: Audited) -> float:
    """Only the answers to batches hide refusals in an OK."""
    return audited.granted_shares[name] if name in ("batch", *BATCH_ROWS) else 1.0


def open_loop(percent: int, saturation: float, measured: Measured) -> OpenLoop:
    return OpenLoop(
        load_percent=percent,
        intended_per_second=saturation * percent / 100,
        answered_per_second=measured.calls.get(OK, 0) / measured.seconds,
        answers=dict(measured.calls),
        latency_ms=latency(measured.latencies_seconds),
    )


def p99_at_50(measured: Measurements) -> Judged:
    return judged(P99_AT_50, [latency(measured.loads[CALM_LOAD].latencies_seconds).p99])


def batch_sizes(plan: Plan, rows: Mapping[str, Row]) -> list[BatchSize]:
    """From the smallest on."""
    named = [(KINDS[name].items_per_call, name) for name in BATCH_ROWS]
    return [
        BatchSize(
            items=items,
            in_flight=plan.batch_calls(items),
            redemptions_per_second=rows[name].items_per_second.median,
            cpu_microseconds_per_item=rows[name].cpu_microseconds_per_item,
            p50_ms=rows[name].latency_ms.p50,
        )
        for items, name in sorted([*named, (BATCH_ITEMS, batch_row(BATCH_ITEMS))])
    ]


def timeline_of(plan: Plan, measured: Measured) -> Timeline:
    """Calls by second, and the windows that are compared."""
    calls = measured.calls_by_second.get(OK, [])
    edges = [round(number * plan.window_seconds) for number in range(TIMELINE_WINDOWS + 1)]
    windows = []
    for number, title in ((0, "first"), (TIMELINE_WINDOWS - 1, "fifth")):
        begin, end = edges[number], edges[number + 1]
        pace = sum(calls[begin:end]) / max(1, end - begin)
        windows.append(Window(title, begin, end, pace))
    return Timeline(1.0, calls, windows)


def first_fifth(plan: Plan, timeline: Timeline) -> Judged:
    first, fifth = (window.calls_per_second for window in timeline.windows)
    seconds = plan.window_seconds
    note = "" if seconds == MINUTE else f"windows of {seconds:g} s instead of minutes"
    return judged(FIRST_FIFTH, [first / max(fifth, 1e-9)], note)


def setup_of(plan: Plan) -> Setup:
    return Setup(
        workers=plan.workers,
        connections=plan.connections,
        in_flight=plan.in_flight,
        turns=plan.main.turns,
        seconds=plan.main.seconds,
        customers=plan.customers,
        spread_offers=plan.spread_offers,
        full_redemptions=plan.fill.redemptions,
        full_offers=plan.full_offers,
    )
