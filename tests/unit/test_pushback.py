"""When callers are told to come back: soon, one after the other, and never too late."""

import pytest

from guerdon.limits import (
    RETRIES_PER_SECOND_MIN,
    RETRIES_SHARE_MAX,
    RETRY_AFTER_SECONDS_MAX,
    RETRY_AFTER_SECONDS_MIN,
    RETRY_AFTER_STEP_SECONDS,
    RETRY_RATE_SECONDS,
)
from guerdon.transport.pushback import Pushback

STEP = RETRY_AFTER_STEP_SECONDS


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_one_caller_comes_back_soon() -> None:
    assert Pushback(Clock()).tell() == pytest.approx(RETRY_AFTER_SECONDS_MIN, abs=STEP)


def test_callers_come_back_one_after_the_other() -> None:
    pushback = Pushback(Clock())
    told = [pushback.tell() for _ in range(int(2 * RETRIES_PER_SECOND_MIN))]
    assert told == sorted(told)
    assert told[-1] == pytest.approx(RETRY_AFTER_SECONDS_MIN + 2, abs=2 * STEP)


def test_the_more_a_process_answers_the_more_may_come_back() -> None:
    clock = Clock()
    pushback = Pushback(clock)
    clock.now += RETRY_RATE_SECONDS
    retries_per_second = 10 * RETRIES_PER_SECOND_MIN
    pushback.answered = int(retries_per_second / RETRIES_SHARE_MAX * RETRY_RATE_SECONDS)
    told = [pushback.tell() for _ in range(int(retries_per_second))]
    assert told[-1] == pytest.approx(RETRY_AFTER_SECONDS_MIN + 1, abs=2 * STEP)


def test_nobody_waits_for_longer_than_the_most_and_those_too_many_are_spread() -> None:
    pushback = Pushback(Clock())
    told = [
        pushback.tell() for _ in range(int(5 * RETRIES_PER_SECOND_MIN * RETRY_AFTER_SECONDS_MAX))
    ]
    too_many = told[len(told) // 2 :]
    assert max(told) <= RETRY_AFTER_SECONDS_MAX
    assert min(too_many) >= RETRY_AFTER_SECONDS_MAX / 2 - STEP
    assert len(set(too_many)) > RETRY_AFTER_SECONDS_MAX / 2 / STEP / 2


def test_a_trouble_that_has_passed_is_forgotten() -> None:
    clock = Clock()
    pushback = Pushback(clock)
    for _ in range(10_000):
        pushback.tell()
    clock.now += RETRY_AFTER_SECONDS_MAX
    assert pushback.tell() == pytest.approx(RETRY_AFTER_SECONDS_MIN, abs=STEP)


def test_few_different_waits_are_told_so_that_answers_can_be_kept() -> None:
    pushback = Pushback(Clock())
    told = {pushback.tell() for _ in range(10_000)}
    assert len(told) <= RETRY_AFTER_SECONDS_MAX / STEP
