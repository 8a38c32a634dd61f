"""Redis pub/sub as the second way to hear of changes: NOTIFY is the first, and enough."""

import asyncio
from collections.abc import Sequence

import structlog
from redis.asyncio import Redis

from guerdon.adapters.redis.breaker import FAILURES, Breaker
from guerdon.limits import (
    CHANGES_HEARTBEAT_SECONDS,
    CHANGES_RETRY_SECONDS_MAX,
    CHANGES_RETRY_SECONDS_MIN,
    REDIS_TIMEOUT_SECONDS,
)
from guerdon.ports import Change, ChangeSink

CHANNEL = "guerdon:changes"

log = structlog.get_logger()


class RedisChangePublisher:
    """See ports.ChangePublisher."""

    def __init__(self, redis: Redis, breaker: Breaker) -> None:
        self._redis = redis
        self._breaker = breaker

    async def publish(self, changes: Sequence[Change]) -> None:
        """One pipeline for all of them."""
        if not changes or not self._breaker.permits():
            return
        try:
            async with (
                asyncio.timeout(REDIS_TIMEOUT_SECONDS),
                self._redis.pipeline(transaction=False) as pipeline,
            ):
                for change in changes:
                    pipeline.publish(CHANNEL, change.text())
                await pipeline.execute()
        except FAILURES:
            self._breaker.failed()
        else:
            self._breaker.succeeded()


class NoChangePublisher:
    """ports.ChangePublisher without Redis: NOTIFY alone tells."""

    async def publish(self, _changes: Sequence[Change]) -> None:
        """Nobody."""


class RedisChangeSubscriber:
    """Tells the sinks of every change that is published, for as long as `run` runs.

    `redis` is a client of its own without a timeout on reads. What is missed while it is away is
    heard by NOTIFY, so nothing is forgotten for it.
    """

    def __init__(self, redis: Redis, sinks: list[ChangeSink]) -> None:
        self._redis = redis
        self._sinks = sinks
        self.listening = asyncio.Event()
        """Set while changes are heard."""

    async def run(self) -> None:
        """Listen until cancelled; reconnects with growing pauses."""
        pause = CHANGES_RETRY_SECONDS_MIN
        while True:
            try:
                await self._listen()
            except FAILURES as error:
                if self.listening.is_set():
                    pause = CHANGES_RETRY_SECONDS_MIN
                log.info("redis_changes_not_heard", error=type(error).__name__)
            finally:
                self.listening.clear()
            await asyncio.sleep(pause)
            pause = min(pause * 2, CHANGES_RETRY_SECONDS_MAX)

    async def _listen(self) -> None:
        """Hear changes until the connection is lost, and raise how."""
        async with self._redis.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            silent = 0
            while silent < 2:
                message = await channel.get_message(timeout=CHANGES_HEARTBEAT_SECONDS)
                if message is None:
                    # A connection that died silently shows it only when something is sent.
                    silent += 1
                    await channel.ping()
                    continue
                silent = 0
                self._heard(message["type"], message["data"])
        raise TimeoutError

    def _heard(self, kind: str, data: object) -> None:
        if kind == "subscribe":
            self.listening.set()
        if kind != "message" or not isinstance(data, bytes):
            return
        change = Change.parse(data.decode("utf-8", "replace"))
        for sink in self._sinks:
            if change is not None:
                sink.apply(change)
