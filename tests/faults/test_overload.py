"""The proof of overload and of an outage, for a few seconds each; no figure is judged here that a
busy machine may change."""

import pytest

from loadtests.faults.crowd import Seen, spread
from loadtests.faults.overload import outage, overload, overload_shortfalls, saturating_callers
from loadtests.faults.watch import Watched
from loadtests.history import Answer

CALLERS_TRIED = (200,)
ROUND_SECONDS = 2.0
OVERLOAD_SECONDS = 4.0
OUTAGE_CALLERS = 200
OUTAGE_SECONDS = 2.0
RECOVERY_SECONDS_MAX = 5.0
# On a machine that does much else meanwhile; the full proof asks for more.
GOODPUT_SHARE_MIN = 0.2


async def test_ten_times_the_callers_leave_a_server_at_work() -> None:
    report = await overload(
        seconds=OVERLOAD_SECONDS, step_seconds=ROUND_SECONDS, callers_tried=CALLERS_TRIED
    )
    assert report.callers == 10 * CALLERS_TRIED[0]
    assert report.seen.goodput_per_second > GOODPUT_SHARE_MIN * report.peak_per_second
    assert report.seen.refused
    assert report.watched.worker_megabytes_max > report.watched.worker_megabytes_before
    assert report.audit.passed, report.audit.failed_checks


async def test_callers_get_on_when_a_killed_database_is_back() -> None:
    report = await outage(
        before_seconds=ROUND_SECONDS,
        away_seconds=OUTAGE_SECONDS,
        recovery_seconds_max=RECOVERY_SECONDS_MAX,
        callers=OUTAGE_CALLERS,
    )
    assert report.during.shed
    assert report.after.granted
    assert report.audit.passed, report.audit.failed_checks


def seen(**fields: object) -> Seen:
    """What satisfies every promise, but for `fields`."""
    good = {
        "goodput_per_second": 1000.0, "granted": 1, "refused": 1, "shed": 1, "indefinite": {},
        "answered_milliseconds": (1.0, 1.0, 1.0), "shed_milliseconds": (1.0, 1.0, 1.0),
    }  # fmt: skip
    return Seen(**(good | fields))  # type: ignore[arg-type]  # A dict of all kinds.


@pytest.mark.parametrize(
    ("found", "unguided", "told"),
    [
        (seen(), 0, ""),
        (seen(goodput_per_second=700.0), 0, "goodput"),
        (seen(shed=0), 0, "nobody was shed"),
        (seen(shed_milliseconds=(60.0, 1.0, 1.0)), 0, "half of the shed"),
        (seen(), 3, "3 callers"),
    ],
    ids=["all is well", "goodput fell", "nobody shed", "shed late", "no pushback"],
)
def test_a_run_says_what_did_not_hold(found: Seen, unguided: int, told: str) -> None:
    shortfalls = overload_shortfalls(found, 1000.0, Watched(), unguided)
    assert len(shortfalls) == bool(told)
    assert all(told in shortfall for shortfall in shortfalls)


def test_the_fewest_callers_that_come_near_the_most_saturate() -> None:
    assert saturating_callers({64: 500.0, 128: 960.0, 256: 1000.0, 512: 990.0}) == 128


def test_of_a_hundred_answers_the_second_longest_is_the_99th() -> None:
    answers = [Answer(0.0, number / 1000, 0) for number in range(1, 101)]
    assert spread(answers) == pytest.approx((51.0, 100.0, 100.0))
    assert spread([]) == (0.0, 0.0, 0.0)
