"""The document of a benchmark run, as `--json` writes it and the HTML page reads it.

The names in `ratios`, `latency_ms` and `memory_mb` are stable: scripts read them. Figures of two
runs are never compared, only those of one document. Rates are per second of the wall clock, times
in milliseconds unless a name says otherwise, memory in megabytes of 10^6 bytes.
"""

from pathlib import Path

import msgspec

from loadtests.pages.render import write_whole

FORMAT = 1


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with targets: the median over the turns, with the smallest and the largest."""

    title: str
    """For people, such as "hot : echo"."""
    rows: list[str]
    """The rows it was computed from: for a ratio the one above the line, then the rival."""
    median: float
    lowest: float
    highest: float
    turns: list[float]
    target_first: float
    target_goal: float
    is_better: str
    """"higher" or "lower"."""
    met_first: bool
    met_goal: bool
    note: str = ""
    """What is special about this run's way to measure it; mostly empty."""


class Spread(msgspec.Struct, frozen=True):
    """Over the turns."""

    median: float
    lowest: float
    highest: float
    turns: list[float]


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds. `curve` has pairs of a percentage and the time that so many calls did not
    exceed; `histogram` pairs of a bucket's upper bound and its calls, empty buckets left out."""

    p50: float
    p90: float
    p99: float
    p999: float
    highest: float
    curve: list[tuple[float, float]]
    histogram: list[tuple[float, int]]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of call under closed-loop load. What a call costs is CPU of the component's whole
    process tree, divided by the calls; a closed loop's latency tells how long the queue was."""

    title: str
    items_per_call: int
    """1 but for RedeemBatch."""
    calls_per_second: Spread
    items_per_second: Spread
    answers: dict[str, int]
    """Calls by gRPC status."""
    cpu_microseconds_per_item: dict[str, float]
    """By component: server, postgres, redis, generator."""
    cores_used: float
    worker_shares: list[float]
    """Each worker's part of its server's CPU, the largest first."""
    latency_ms: Latency


class OpenLoop(msgspec.Struct, frozen=True, kw_only=True):
    """Calls sent at random moments, so many a second, and timed from these moments on."""

    load_percent: int
    """Of the saturation measured just before."""
    intended_per_second: float
    answered_per_second: float
    answers: dict[str, int]
    latency_ms: Latency


class BatchSize(msgspec.Struct, frozen=True, kw_only=True):
    """RedeemBatch with so many items, a closed loop of `in_flight` calls."""

    items: int
    in_flight: int
    redemptions_per_second: float
    cpu_microseconds_per_item: dict[str, float]
    p50_ms: float
    """Of a whole call."""


class Window(msgspec.Struct, frozen=True):
    """A part of the timeline, in seconds from its start."""

    title: str
    begin: float
    end: float
    calls_per_second: float


class Timeline(msgspec.Struct, frozen=True):
    """One offer under load from an empty, freshly migrated database on: calls by second."""

    bucket_seconds: float
    calls: list[int]
    windows: list[Window]


class Curves(msgspec.Struct, frozen=True):
    """What is plotted beyond the rows."""

    saturation_per_second: float
    open_loop: list[OpenLoop]
    batch_sizes: list[BatchSize]
    timeline: Timeline


class WorkerMemory(msgspec.Struct, frozen=True):
    """One worker, with every offer cached. Resident, proportional and unique set size."""

    rss_mb: float
    pss_mb: float
    uss_mb: float


class Memory(msgspec.Struct, frozen=True):
    """The workers of the server on the full database, after each had read every offer."""

    offers: int
    workers: list[WorkerMemory]


class DatabaseAudit(msgspec.Struct, frozen=True):
    """The exactness audit of one database of the run."""

    name: str
    passed: bool
    redemptions: int
    checks: int
    violations: dict[str, int]


class Audit(msgspec.Struct, frozen=True):
    """Of all databases."""

    passed: bool
    redemptions: int
    databases: list[DatabaseAudit]
    asked_again: int = 0
    """Requests without a definite answer under load, as those that were shed: all were asked again
    when it was over."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures hold for, and nothing else. `flush_microseconds` is the median time to
    write and flush one block of 8 kB where Postgres keeps its data, when that is known."""

    cores: int
    cpu: str
    memory_mb: float
    kernel: str
    flush_microseconds: float
    versions: dict[str, str]
    postgres: dict[str, str]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How it was measured. `connections` are to each server, `in_flight` calls over all of them."""

    workers: int
    connections: int
    in_flight: int
    turns: int
    seconds: float
    customers: int
    spread_offers: int
    full_redemptions: int
    full_offers: int


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one run found."""

    format: int = FORMAT
    quick: bool
    started_at: str
    """ISO 8601, UTC."""
    took_seconds: float
    ratios: dict[str, Judged]
    latency_ms: dict[str, Judged]
    memory_mb: dict[str, Judged]
    rows: dict[str, Row]
    curves: Curves
    memory: Memory
    audit: Audit
    setup: Setup
    machine: Machine

    @property
    def judged(self) -> dict[str, Judged]:
        """All figures with targets, by their full name."""
        groups = {"ratios": self.ratios, "latency_ms": self.latency_ms, "memory_mb": self.memory_mb}
        return {
            f"{group}.{name}": figure
            for group, figures in groups.items()
            for name, figure in figures.items()
        }


def write_json(document: Document, file: Path) -> None:
    """Whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2)
    write_whole(file, f"{text.decode()}\n")
