"""From rounds to figures: medians, percentiles, and the verdict on each target."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from loadtests.bench.fleet import Measured
from loadtests.bench.results import Judged, Latency, Row, Spread
from loadtests.bench.rows import KINDS

CURVE_PERCENTS = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.99, 100)
# Histogram buckets for each doubling of the time: a bucket is 9 % wider than the one before.
BUCKETS_PER_DOUBLING = 8
MILLISECONDS = 1_000
MICROSECONDS = 1_000_000


class Goal(msgspec.Struct, frozen=True):
    """What is wanted of a figure, first and in the end."""

    title: str
    rows: tuple[str, ...]
    first: float
    goal: float
    higher_is_better: bool = True


RATIOS = {
    "hot_echo": Goal("hot offer : echo", ("hot", "echo"), 0.65, 1.0),
    "hot_textbook": Goal("hot offer : textbook", ("hot", "textbook"), 6.0, 10.0),
    "spread_hot": Goal("1,000 offers : hot offer", ("spread", "hot"), 0.8, 1.0),
    "refusal_echo": Goal("refusals : echo", ("refusal", "echo"), 0.8, 0.95),
    "check_echo": Goal("CheckEligibility : echo", ("check", "echo"), 0.5, 0.8),
    "quote_echo": Goal("Quote : echo", ("quote", "echo"), 0.5, 0.8),
    "batch_unary": Goal("RedeemBatch of 100 : Redeem", ("batch", "hot"), 2.5, 5.0),
    "full_empty": Goal("full database : empty one", ("full", "empty"), 0.9, 0.97),
}
FIRST_FIFTH = Goal("first minute : fifth", ("fresh",), 0.8, 0.95)
P99_AT_50 = Goal("p99 at 50 % load, ms", ("hot",), 50.0, 15.0, higher_is_better=False)
MEMORY = Goal("memory of a worker, MB", ("full",), 250.0, 150.0, higher_is_better=False)


def judged(goal: Goal, turns: Sequence[float], note: str = "") -> Judged:
    """The median of the turns against the targets."""
    median = statistics.median(turns)
    sign = 1 if goal.higher_is_better else -1
    return Judged(
        title=goal.title,
        rows=list(goal.rows),
        median=median,
        lowest=min(turns),
        highest=max(turns),
        turns=list(turns),
        target_first=goal.first,
        target_goal=goal.goal,
        is_better="higher" if goal.higher_is_better else "lower",
        met_first=sign * median >= sign * goal.first,
        met_goal=sign * median >= sign * goal.goal,
        note=note,
    )


def ratio(goal: Goal, rows: Mapping[str, Row]) -> Judged:
    """Items a second of one row by another's, each pair from one turn. A turn in which the rival
    answered nothing says nothing; without any other the ratio is 0."""
    above, below = (rows[name].items_per_second.turns for name in goal.rows)
    pairs = zip(above, below, strict=True)
    return judged(goal, [one / other for one, other in pairs if other > 0] or [0.0])


def row_of(name: str, rounds: Sequence[Measured], granted_share: float = 1.0) -> Row:
    """One row over all its rounds. `granted_share` is that of the items in answers that were OK as
    a whole, for batches."""
    kind = KINDS[name]
    good = [measured.calls.get(kind.expected, 0) / measured.seconds for measured in rounds]
    each = kind.items_per_call * granted_share
    items = sum(sum(measured.calls.values()) for measured in rounds) * kind.items_per_call
    seconds = cpu_seconds(rounds)
    latencies = [one for measured in rounds for one in measured.latencies_seconds]
    return Row(
        title=kind.title,
        items_per_call=kind.items_per_call,
        calls_per_second=spread(good),
        items_per_second=spread([calls * each for calls in good]),
        answers=dict(sum((Counter(measured.calls) for measured in rounds), Counter())),
        cpu_microseconds_per_item={
            component: used * MICROSECONDS / max(1, items) for component, used in seconds.items()
        },
        cores_used=sum(seconds.values()) / sum(measured.seconds for measured in rounds),
        worker_shares=worker_shares(rounds),
        latency_ms=latency(latencies),
    )


def cpu_seconds(rounds: Sequence[Measured]) -> dict[str, float]:
    """By component, over all rounds."""
    components = [measured.usage.components for measured in rounds]
    return {name: sum(used[name] for used in components) for name in components[0]}


def worker_shares(rounds: Sequence[Measured]) -> list[float]:
    """Each worker's part of the server's CPU time, the largest first."""
    pids = {pid for measured in rounds for pid in measured.usage.workers}
    seconds = [sum(measured.usage.workers.get(pid, 0.0) for measured in rounds) for pid in pids]
    total = sum(seconds) or 1.0
    return sorted((used / total for used in seconds), reverse=True)


def spread(turns: Sequence[float]) -> Spread:
    return Spread(statistics.median(turns), min(turns), max(turns), list(turns))


def latency(seconds: Iterable[float]) -> Latency:
    """Of calls that took so long; zeros when there were none."""
    times = sorted(one * MILLISECONDS for one in seconds) or [0.0]
    return Latency(
        p50=percentile(times, 50),
        p90=percentile(times, 90),
        p99=percentile(times, 99),
        p999=percentile(times, 99.9),
        highest=times[-1],
        curve=[(percent, percentile(times, percent)) for percent in CURVE_PERCENTS],
        histogram=histogram(times),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed (nearest rank)."""
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[min(len(ordered), max(1, rank)) - 1]


def histogram(times: Iterable[float]) -> list[tuple[float, int]]:
    """Upper bound and number of each bucket that is not empty, in order."""
    buckets = Counter(bucket_of(time) for time in times)
    return [(2.0 ** (step / BUCKETS_PER_DOUBLING), buckets[step]) for step in sorted(buckets)]


def bucket_of(time: float) -> int:
    """Times below a microsecond are as good as that."""
    return math.ceil(math.log2(max(time, 0.001)) * BUCKETS_PER_DOUBLING)
