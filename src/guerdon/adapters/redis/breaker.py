"""A breaker: after a failure Redis is left alone for a while, then one call tries again."""

import asyncio
from collections.abc import Callable

from redis.exceptions import RedisError

from guerdon.limits import REDIS_RETRY_SECONDS
from guerdon.telemetry import Metrics

# What a call raises when Redis does not answer it. uvloop has a RuntimeError for a connection that
# was closed while nobody looked, where asyncio has an OSError.
FAILURES = (RedisError, OSError, TimeoutError, asyncio.IncompleteReadError, RuntimeError)


class Breaker:
    """Shared by all users of one Redis in the process. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._retry_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether Redis failed at the last try."""
        return self._retry_at is not None

    def permits(self) -> bool:
        """Whether a call may be made now. While open, one caller in REDIS_RETRY_SECONDS may."""
        if self._retry_at is None:
            return True
        now = self._clock()
        if now < self._retry_at:
            return False
        self._retry_at = now + REDIS_RETRY_SECONDS
        return True

    def failed(self) -> None:
        """A call failed or took too long."""
        if self._retry_at is None:
            self._metrics.breaker_opened()
            self._metrics.redis_changed(available=False)
        self._retry_at = self._clock() + REDIS_RETRY_SECONDS

    def succeeded(self) -> None:
        """A call was answered."""
        if self._retry_at is not None:
            self._metrics.redis_changed(available=True)
        self._retry_at = None
