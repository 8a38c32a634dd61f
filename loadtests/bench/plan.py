"""What a benchmark run measures, in which order and for how long.

Rows that make one ratio are neighbours: within a phase they take turns, one short round each, so
that a minute in which the machine is slow slows both sides of a ratio.
"""

from dataclasses import dataclass

from loadtests.bench.fill import Fill
from loadtests.bench.fleet import CONNECTIONS, HEAD_START_SECONDS, IN_FLIGHT, WARM_UP_SECONDS

WORKERS = 2
CUSTOMERS = 10_000
# Offers that the rows `spread` and `cold` draw from.
SPREAD_OFFERS = 1_000
# Offers of the full database, the hot one included.
FULL_OFFERS = 10_000
FULL_FILL = Fill(of_hot=100_000, of_others=900_000)
# Items of the row `batch`, as many as one call may carry.
BATCH_ITEMS = 100
# Smaller batches than that, and calls in flight of batches: enough that no worker ever waits, and
# less than the servers would shed.
BATCH_SIZES = (1, 4, 16, 64)
BATCH_CALLS_MIN = 8
# Percent of saturation.
LOADS = (50, 70, 90)
# Parts of the timeline, of which the first and the last are compared, and what stands for a minute
# in a quick run: whole seconds, since calls are counted by the second.
TIMELINE_WINDOWS = 5
QUICK_WINDOW_SECONDS = 3.0
# Seconds before each round of a quick run counts: many short rounds say more than a few long ones.
QUICK_WARM_UP_SECONDS = 0.3
# Each next to what it is compared with: `hot` or `echo`, or `empty`.
MAIN_ROWS = (
    "one_call", "textbook", "batch", "spread", "hot", "echo", "refusal", "check", "quote",
)  # fmt: skip
FULL_ROWS = ("cold", "full", "empty")


@dataclass(frozen=True)
class Phase:
    """Rows that take turns; `seconds` is one round of one row."""

    rows: tuple[str, ...]
    turns: int
    seconds: float

    @property
    def rounds(self) -> int:
        return len(self.rows) * self.turns


@dataclass(frozen=True)
class Plan:
    """One run. `connections` are to each server, `in_flight` calls over all of them."""

    quick: bool
    main: Phase
    full: Phase
    window_seconds: float
    load_seconds: float
    batch: Phase
    fill: Fill = FULL_FILL
    full_offers: int = FULL_OFFERS
    spread_offers: int = SPREAD_OFFERS
    customers: int = CUSTOMERS
    workers: int = WORKERS
    connections: int = CONNECTIONS
    in_flight: int = IN_FLIGHT
    warm_up_seconds: float = WARM_UP_SECONDS

    @property
    def measuring_seconds(self) -> float:
        """Of all rounds with what comes before each."""
        phases = (self.main, self.full, self.batch)
        rounds = sum(phase.rounds * self.round_seconds(phase.seconds) for phase in phases)
        loads = len(LOADS) * self.round_seconds(self.load_seconds)
        return rounds + loads + self.round_seconds(self.timeline_seconds)

    def round_seconds(self, seconds: float) -> float:
        """What a round takes by the clock."""
        return HEAD_START_SECONDS + self.warm_up_seconds + seconds

    @property
    def timeline_seconds(self) -> float:
        return TIMELINE_WINDOWS * self.window_seconds

    def batch_calls(self, items: int) -> int:
        """Calls in flight when each carries so many items."""
        return max(BATCH_CALLS_MIN, self.in_flight // items)


def batch_row(items: int) -> str:
    """The name of the row with batches of so many items."""
    return "batch" if items == BATCH_ITEMS else f"batch_{items}"


def plan_of(quick: bool, turns: int | None = None, seconds: float | None = None) -> Plan:
    """Three minutes with everything around it, or twenty. `turns` and `seconds` replace those of
    every phase, and the timeline's windows then have a second, for a look at the benchmark itself.
    """
    batches = tuple(batch_row(items) for items in BATCH_SIZES)
    usual = (4, 0.9) if quick else (10, 3.5)
    window_seconds = 1.0 if seconds else QUICK_WINDOW_SECONDS if quick else 60.0
    turns, seconds = turns or usual[0], seconds or usual[1]
    return Plan(
        quick=quick,
        main=Phase(MAIN_ROWS, turns, seconds),
        full=Phase(FULL_ROWS, turns, seconds),
        window_seconds=window_seconds,
        load_seconds=3 * seconds if quick else 5 * seconds,
        batch=Phase(batches, 1 if quick else 3, seconds),
        warm_up_seconds=QUICK_WARM_UP_SECONDS if quick else WARM_UP_SECONDS,
    )
