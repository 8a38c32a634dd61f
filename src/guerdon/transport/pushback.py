"""How long callers who may try again are told to wait.

A shed call costs about half of one that is served, and a thousand that come back at the same moment
keep everybody waiting. So each caller is given a time of its own to come back at: one after the
other, at a rate that takes a small part of what the process gets done.
"""

import random
from collections.abc import Callable

from guerdon.limits import (
    RETRIES_PER_SECOND_MIN,
    RETRIES_SHARE_MAX,
    RETRY_AFTER_SECONDS_MAX,
    RETRY_AFTER_SECONDS_MIN,
    RETRY_AFTER_STEP_SECONDS,
    RETRY_RATE_SECONDS,
)


class Pushback:
    """One for a process; `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._retries_per_second = RETRIES_PER_SECOND_MIN
        self._rated_at = clock()
        self._last_return = 0.0
        self.answered = 0
        """Calls that got a definite answer; whoever answers them counts here."""

    def tell(self) -> float:
        """Seconds that one more caller shall wait: a multiple of RETRY_AFTER_STEP_SECONDS."""
        now = self._clock()
        if now - self._rated_at >= RETRY_RATE_SECONDS:
            self._rate(now)
        soonest, latest = now + RETRY_AFTER_SECONDS_MIN, now + RETRY_AFTER_SECONDS_MAX
        self._last_return = max(soonest, self._last_return + 1 / self._retries_per_second)
        seconds = self._last_return - now
        if self._last_return > latest:
            # More than fit: they share the later half of the time with those who have a place.
            self._last_return = latest
            seconds = random.uniform(RETRY_AFTER_SECONDS_MAX / 2, RETRY_AFTER_SECONDS_MAX)
        return round(seconds / RETRY_AFTER_STEP_SECONDS) * RETRY_AFTER_STEP_SECONDS

    def _rate(self, now: float) -> None:
        """The rate of retries that there is room for, by the calls answered since the last look."""
        answered_per_second = self.answered / (now - self._rated_at)
        self._retries_per_second = max(
            RETRIES_SHARE_MAX * answered_per_second, RETRIES_PER_SECOND_MIN
        )
        self._rated_at, self.answered = now, 0
