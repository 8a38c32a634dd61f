"""What the benchmark computes from its rounds, by examples that were worked out by hand."""

import dataclasses

import pytest

from loadtests.bench.cpu import Usage
from loadtests.bench.document import timeline_of
from loadtests.bench.figures import (
    P99_AT_50,
    RATIOS,
    histogram,
    judged,
    latency,
    percentile,
    ratio,
    row_of,
)
from loadtests.bench.fleet import Measured
from loadtests.bench.measure import good_per_second
from loadtests.bench.plan import plan_of
from loadtests.bench.rows import KINDS


def measured(
    calls: dict[str, int], seconds: float = 2.0, latencies: list[float] | None = None
) -> Measured:
    usage = Usage({"server": 1.0, "postgres": 0.5}, {1: 0.75, 2: 0.25})
    by_second = {"OK": [calls.get("OK", 0)]}
    return Measured(seconds, calls, by_second, latencies or [0.001], usage)


def test_a_ratio_is_the_median_over_pairs_of_one_turn() -> None:
    hot = [measured({"OK": calls}) for calls in (600, 900, 400)]
    echo = [measured({"OK": calls}) for calls in (1000, 1000, 1000)]
    found = ratio(RATIOS["hot_echo"], {"hot": row_of("hot", hot), "echo": row_of("echo", echo)})
    assert found.turns == pytest.approx([0.6, 0.9, 0.4])
    assert (found.median, found.lowest, found.highest) == pytest.approx((0.6, 0.4, 0.9))
    assert not found.met_first


def test_a_turn_without_the_rivals_answers_says_nothing() -> None:
    hot = [measured({"OK": calls}) for calls in (600, 900)]
    echo = [measured({"OK": calls}) for calls in (1000, 0)]
    rows = {"hot": row_of("hot", hot), "echo": row_of("echo", echo)}
    assert ratio(RATIOS["hot_echo"], rows).turns == [0.6]


def test_a_pair_is_not_torn_apart_by_sorting() -> None:
    hot = [measured({"OK": calls}) for calls in (100, 1000)]
    echo = [measured({"OK": calls}) for calls in (100, 1000)]
    found = ratio(RATIOS["hot_echo"], {"hot": row_of("hot", hot), "echo": row_of("echo", echo)})
    assert found.turns == [1.0, 1.0]


@pytest.mark.parametrize(
    ("median", "met_first", "met_goal"),
    [(0.64, False, False), (0.65, True, False), (0.99, True, False), (1.0, True, True)],
)
def test_a_ratio_meets_a_target_that_it_reaches(
    median: float, met_first: bool, met_goal: bool
) -> None:
    found = judged(RATIOS["hot_echo"], [median])
    assert (found.met_first, found.met_goal) == (met_first, met_goal)


@pytest.mark.parametrize(
    ("milliseconds", "met_first", "met_goal"),
    [(50.1, False, False), (50.0, True, False), (15.0, True, True), (3.0, True, True)],
)
def test_a_latency_meets_a_target_that_it_does_not_exceed(
    milliseconds: float, met_first: bool, met_goal: bool
) -> None:
    found = judged(P99_AT_50, [milliseconds])
    assert (found.met_first, found.met_goal) == (met_first, met_goal)
    assert found.is_better == "lower"


def test_only_expected_answers_count() -> None:
    shed = measured({"OK": 100, "UNAVAILABLE": 900})
    assert row_of("hot", [shed]).calls_per_second.median == 50
    assert good_per_second("hot", shed) == 50
    refused = measured({"OK": 100, "RESOURCE_EXHAUSTED": 300})
    assert row_of("refusal", [refused]).calls_per_second.median == 150


def test_a_batch_counts_its_granted_items() -> None:
    row = row_of("batch", [measured({"OK": 10})], granted_share=0.9)
    assert row.calls_per_second.median == 5
    assert row.items_per_second.median == pytest.approx(450)
    assert row.cpu_microseconds_per_item["server"] == pytest.approx(1_000_000 / 1_000)


def test_the_workers_shares_are_of_their_server() -> None:
    assert row_of("hot", [measured({"OK": 1})] * 2).worker_shares == [0.75, 0.25]


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.1, 100), (100, 100)]
)
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, 101)], percent) == expected


def test_latencies_are_told_in_milliseconds() -> None:
    found = latency([0.002] * 99 + [0.5])
    assert [found.p50, found.p99, found.highest] == [2.0, 2.0, 500.0]
    assert list(found.curve[-1]) == [100.0, 500.0]
    assert sum(calls for _, calls in found.histogram) == 100


def test_a_bucket_holds_what_does_not_exceed_its_bound() -> None:
    times = [0.9, 1.0, 1.01, 7.0]
    buckets = histogram(times)
    within = [sum(calls for bound, calls in buckets if bound <= limit) for limit in (1.0, 8.0)]
    assert within == [2, 4]


def test_no_calls_are_no_error() -> None:
    row = row_of("hot", [measured({})])
    assert row.calls_per_second.median == 0
    assert latency([]).p99 == 0


def test_the_timeline_compares_its_first_part_with_its_fifth() -> None:
    plan = dataclasses.replace(plan_of(True), window_seconds=2.0)
    usage = Usage({"server": 1.0}, {})
    calls = [80, 90, 1, 1, 1, 1, 1, 1, 100, 120]
    rounds = Measured(10.0, {"OK": sum(calls)}, {"OK": calls}, [0.001], usage)
    first, fifth = timeline_of(plan, rounds).windows
    assert (first.calls_per_second, fifth.calls_per_second) == (85, 110)
    assert (fifth.begin, fifth.end) == (8, 10)


def test_the_plans_fit_into_their_time() -> None:
    assert plan_of(True).measuring_seconds < 130
    assert 13 * 60 < plan_of(False).measuring_seconds < 17 * 60


def test_every_planned_row_has_a_kind() -> None:
    plan = plan_of(True)
    assert {*plan.main.rows, *plan.full.rows, *plan.batch.rows, "fresh"} == set(KINDS)
