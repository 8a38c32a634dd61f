"""How long callers are sent away: little at first, longer while too many come back."""

import pytest

from guerdon.limits import (
    RETRIES_PER_SECOND_MIN,
    RETRIES_SHARE_MAX,
    RETRY_AFTER_SECONDS_MAX,
    RETRY_AFTER_SECONDS_MIN,
    RETRY_AFTER_SPREAD,
    RETRY_AFTER_STEP_SECONDS,
    RETRY_WINDOW_SECONDS,
)
from guerdon.transport.pushback import Pushback


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told_in_windows(*, sent_away: int, answered: int, windows: int = 10) -> list[float]:
    """What the first caller of each window is told."""
    clock = Clock()
    pushback = Pushback(clock)
    told = []
    for _ in range(windows):
        told.append(pushback.tell())
        for _ in range(sent_away - 1):
            pushback.tell()
        pushback.answered += answered
        clock.now += RETRY_WINDOW_SECONDS
    return told


def test_a_few_callers_come_back_soon() -> None:
    told = told_in_windows(sent_away=3, answered=0)
    assert min(told) >= RETRY_AFTER_SECONDS_MIN
    assert max(told) <= RETRY_AFTER_SPREAD * RETRY_AFTER_SECONDS_MIN


def test_too_many_for_what_is_answered_come_back_later_and_later() -> None:
    told = told_in_windows(sent_away=2000, answered=100)
    assert told[1] >= 2 * RETRY_AFTER_SECONDS_MIN
    assert RETRY_AFTER_SECONDS_MAX <= told[-1] <= RETRY_AFTER_SPREAD * RETRY_AFTER_SECONDS_MAX


def test_as_many_as_there_is_room_for_come_back_as_before() -> None:
    answered = 100_000
    told = told_in_windows(sent_away=int(RETRIES_SHARE_MAX * answered), answered=answered)
    assert max(told) <= RETRY_AFTER_SPREAD * RETRY_AFTER_SECONDS_MIN


def test_the_wait_shrinks_again_when_few_come_back() -> None:
    clock = Clock()
    pushback = Pushback(clock)
    for _ in range(8):
        for _ in range(int(4 * RETRIES_PER_SECOND_MIN)):
            pushback.tell()
        clock.now += RETRY_WINDOW_SECONDS
    assert pushback.tell() >= RETRY_AFTER_SECONDS_MAX
    for _ in range(8):
        clock.now += RETRY_WINDOW_SECONDS
        last = pushback.tell()
    assert last <= RETRY_AFTER_SPREAD * RETRY_AFTER_SECONDS_MIN


def test_callers_are_spread_over_a_few_waits() -> None:
    pushback = Pushback(Clock())
    told = {pushback.tell() for _ in range(1000)}
    steps = RETRY_AFTER_SECONDS_MIN * (RETRY_AFTER_SPREAD - 1) / RETRY_AFTER_STEP_SECONDS
    assert 2 < len(told) <= steps + 1
    assert all(
        wait / RETRY_AFTER_STEP_SECONDS == pytest.approx(round(wait / RETRY_AFTER_STEP_SECONDS))
        for wait in told
    )
