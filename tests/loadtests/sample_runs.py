"""Made-up runs for the tests of the reports: plausible in shape, and of no machine."""

import random
from typing import Any

from loadtests.bench.results import (
    Audit,
    BatchSize,
    Curves,
    DatabaseAudit,
    Document,
    Judged,
    Latency,
    Machine,
    Memory,
    OpenLoop,
    Row,
    Setup,
    Spread,
    Timeline,
    Window,
    WorkerMemory,
)
from loadtests.faults import report

ROWS = {
    "echo": ("empty call of this stack", 5353.2, 1),
    "textbook": ("the textbook transaction", 515.9, 1),
    "hot": ("Redeem, one hot offer", 3606.1, 1),
    "batch": ("RedeemBatch of 100", 11449.0, 100),
}
PERCENTS = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.99, 100)


def benchmark() -> Document:
    """A quick run that missed one of its targets."""
    return Document(
        quick=True,
        started_at="2030-01-02T03:04:05Z",
        took_seconds=171.25,
        ratios={
            "hot_echo": judged("hot : echo", 0.6736, 0.65, 1.0, met_first=True),
            "refusal_echo": judged("refusal : echo", 0.7879, 0.8, 0.95, met_first=False),
        },
        latency_ms={"p99_at_50": judged("p99 at 50 %", 10.109, 50, 15, is_better="lower")},
        memory_mb={"worker": judged("memory of a worker", 168.25, 250, 150, is_better="lower")},
        rows={name: row(*facts) for name, facts in ROWS.items()},
        curves=Curves(
            saturation_per_second=3711.5,
            open_loop=[open_loop(percent) for percent in (50, 70, 90)],
            batch_sizes=[batch_size(items) for items in (1, 4, 16, 64, 100)],
            timeline=Timeline(
                bucket_seconds=1.0,
                calls=[3649 + 7 * second for second in range(20)],
                windows=[Window("first", 0, 4, 3602.5), Window("fifth", 16, 20, 3780.5)],
            ),
        ),
        memory=Memory(10_000, [WorkerMemory(168.25, 120.5, 110.75)]),
        audit=Audit(True, 173_001, [DatabaseAudit("main", True, 173_001, 22, {})]),
        setup=Setup(
            workers=2,
            connections=32,
            in_flight=128,
            turns=5,
            seconds=1.2,
            customers=10_000,
            spread_offers=1_000,
            full_redemptions=1_000_000,
            full_offers=10_003,
        ),
        machine=Machine(
            cores=2,
            cpu="a processor",
            memory_mb=24_105,
            kernel="6.1",
            flush_microseconds=412.5,
            versions={"python": "3.11.4", "postgres": "18.1"},
            postgres={"fsync": "on", "synchronous_commit": "on"},
        ),
    )


def judged(title: str, median: float, first: float, goal: float, **more: Any) -> Judged:
    facts = {"is_better": "higher", "met_first": True, "met_goal": False, **more}
    return Judged(
        title=title,
        rows=["hot", "echo"],
        median=median,
        lowest=median * 0.95,
        highest=median * 1.04,
        turns=[median * 0.95, median, median * 1.04],
        target_first=first,
        target_goal=goal,
        **facts,
    )


def row(title: str, rate: float, items: int) -> Row:
    def spread(median: float) -> Spread:
        return Spread(median, median * 0.96, median * 1.03, [median])

    return Row(
        title=title,
        items_per_call=items,
        calls_per_second=spread(rate / items),
        items_per_second=spread(rate),
        answers={"OK": int(rate * 6)},
        cpu_microseconds_per_item={
            "server": 330.25,
            "postgres": 4e5 / rate,
            "redis": 15.5,
            "generator": 60.75,
        },
        cores_used=1.9375,
        worker_shares=[0.52, 0.48],
        latency_ms=latency(1.2e5 / rate),
    )


def latency(median: float) -> Latency:
    curve = [(percent, median * (0.4 + (100.01 - percent) ** -0.3)) for percent in PERCENTS]
    at = dict(curve)
    return Latency(at[50], at[90], at[99], at[99.9], at[100], curve, [(median, 100)])


def open_loop(percent: int) -> OpenLoop:
    pace = 37.115 * percent
    found = latency(4.5 * 50 / (101 - percent))
    return OpenLoop(
        load_percent=percent,
        intended_per_second=pace,
        answered_per_second=pace - 0.5,
        answers={"OK": int(pace * 4)},
        latency_ms=found,
    )


def batch_size(items: int) -> BatchSize:
    return BatchSize(
        items=items,
        in_flight=max(2, 128 // items),
        redemptions_per_second=3700.5 + 2001.5 * items**0.4,
        cpu_microseconds_per_item={"server": 330.5 / items, "postgres": 75.5},
        p50_ms=34.25 + items / 4,
    )


def fault_run(*, seconds: int = 120, faults: int = 60, seed: int = 4711) -> report.RunReport:
    """A quick run that passed, with its kills, held links and lowered limits."""
    dice = random.Random(seed)
    quiet = seconds * 4 // 5
    return report.RunReport(
        tier="quick",
        seed=seed,
        began="2030-01-02T03:04:05+00:00",
        seconds=float(seconds),
        timeline=report.Timeline(
            seconds=tuple(second(dice, at, at < quiet) for at in range(seconds)),
            faults=tuple(fault(dice, quiet) for _ in range(faults)),
            phases=(
                report.Phase("faults", 0, quiet),
                report.Phase("quiet", quiet, seconds - 10),
                report.Phase("retries", seconds - 10, seconds),
            ),
        ),
        invariants=(
            report.Invariant("I1-I4", "no limit is passed at any prefix", 41_234, unit="rows"),
            report.Invariant("I5", "counters equal the rows", 97, unit="counters"),
            report.Invariant("I14", "one outbox entry an effect", skipped="no outbox yet"),
        ),
        minimums=(report.Minimum("OK answers", 41_234, 1_000),),
        ambiguity=report.Ambiguity(1_234, 456, 567, 211, 0),
        counts={"attempts": 52_345, "calls": 81_234},
        machine={"cores": "2", "postgres": "18.1"},
        replay_command="./dev faults --replay runs/4711",
        repeat_command=f"./dev faults --quick --seed {seed}",
    )


def second(dice: random.Random, at: int, troubled: bool) -> report.Second:
    return report.Second(
        at,
        ok=dice.randrange(100, 700),
        refusals={"TOTAL_LIMIT_REACHED": dice.randrange(90), "OFFER_PAUSED": dice.randrange(20)},
        ambiguous={"UNAVAILABLE": dice.randrange(60), "DEADLINE_EXCEEDED": dice.randrange(9)}
        if troubled
        else {},
    )


def fault(dice: random.Random, until: int) -> report.FaultMark:
    lane, name, held = dice.choice(
        [
            ("server", "kill", 0),
            ("server", "stop", 10),
            ("postgres", "kill", 0),
            ("redis", "FLUSHALL", 0),
            ("links", "black hole", 4),
            ("clients", "kill_clients", 0),
        ]
    )
    began = dice.uniform(0, until)
    ended = began + dice.uniform(1, held) if held else None
    return report.FaultMark(lane, name, began, ended, f"worker {dice.randrange(4)}")
