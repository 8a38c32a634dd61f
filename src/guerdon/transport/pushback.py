"""How long callers who may try again are told to wait.

A shed call costs about half of one that is served. So the more callers there are for what the
process gets done, the longer they are sent away: their retries stay a small part of its work, and
those who are served keep their pace.
"""

import random
from collections.abc import Callable

from guerdon.limits import (
    RETRIES_PER_SECOND_MIN,
    RETRIES_SHARE_MAX,
    RETRY_AFTER_SECONDS_MAX,
    RETRY_AFTER_SECONDS_MIN,
    RETRY_AFTER_SPREAD,
    RETRY_AFTER_STEP_SECONDS,
    RETRY_WINDOW_SECONDS,
)

# What the wait may at most be multiplied with after a window, and divided by.
CHANGE_MAX = 2.0


class Pushback:
    """One for a process; `clock` is monotonic, in seconds.

    The wait follows from the calls of the last window: when as many come back as were told to, at
    most RETRIES_SHARE_MAX of the answered ones do, or RETRIES_PER_SECOND_MIN.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds = RETRY_AFTER_SECONDS_MIN
        self._window_began = clock()
        self._told = 0
        self.answered = 0
        """Calls that got a definite answer; whoever answers them counts here."""

    def tell(self) -> float:
        """Seconds that one more caller shall wait: a multiple of RETRY_AFTER_STEP_SECONDS, spread
        so that those who were sent away together do not come back together."""
        now = self._clock()
        window_seconds = now - self._window_began
        if window_seconds >= RETRY_WINDOW_SECONDS:
            self._adapt(window_seconds)
            self._window_began, self._told, self.answered = now, 0, 0
        self._told += 1
        seconds = self._seconds * random.uniform(1.0, RETRY_AFTER_SPREAD)
        return round(seconds / RETRY_AFTER_STEP_SECONDS) * RETRY_AFTER_STEP_SECONDS

    def _adapt(self, window_seconds: float) -> None:
        retries_wanted = max(
            RETRIES_SHARE_MAX * self.answered, RETRIES_PER_SECOND_MIN * window_seconds
        )
        change = min(max(self._told / retries_wanted, 1 / CHANGE_MAX), CHANGE_MAX)
        seconds = self._seconds * change
        self._seconds = min(max(seconds, RETRY_AFTER_SECONDS_MIN), RETRY_AFTER_SECONDS_MAX)
