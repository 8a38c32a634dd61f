"""Changes over Redis pub/sub."""

import asyncio
import time

from redis.asyncio import Redis

from guerdon.adapters.redis.breaker import Breaker
from guerdon.adapters.redis.changes import RedisChangePublisher, RedisChangeSubscriber
from guerdon.domain.identifiers import TenantId
from guerdon.ports import Change, ChangeKind
from tests.support.control import metrics
from tests.support.ledger import new_id


class Sink:
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Change] = asyncio.Queue()

    def apply(self, change: Change) -> None:
        self.heard.put_nowait(change)

    def forget_all(self) -> None:
        raise AssertionError("NOTIFY is enough: nothing is forgotten for Redis")


async def test_what_one_server_publishes_another_hears_also_after_its_connection_was_lost(
    redis_url: str,
) -> None:
    sink, tenant_id = Sink(), TenantId(new_id())
    first = Change(ChangeKind.OFFER, tenant_id, str(new_id()), 3)
    second = Change(ChangeKind.PRODUCT, tenant_id, "*", 0)
    async with (
        Redis.from_url(redis_url) as redis,
        Redis.from_url(redis_url, socket_timeout=None) as listening,
        asyncio.timeout(10),
    ):
        publisher = RedisChangePublisher(redis, Breaker(time.monotonic, metrics()))
        subscriber = RedisChangeSubscriber(listening, [sink])
        task = asyncio.create_task(subscriber.run())
        await subscriber.listening.wait()
        await redis.publish("guerdon:changes", "no change at all")
        await publisher.publish([first, second])
        assert [await sink.heard.get(), await sink.heard.get()] == [first, second]
        await redis.client_kill_filter(_type="pubsub")
        subscriber.listening.clear()
        await subscriber.listening.wait()
        await publisher.publish([second])
        assert await sink.heard.get() == second
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_publishing_to_nobody_raises_nothing() -> None:
    async with Redis.from_url("redis://127.0.0.1:1", retry=None) as nowhere:
        publisher = RedisChangePublisher(nowhere, Breaker(time.monotonic, metrics()))
        await publisher.publish([Change(ChangeKind.TENANT, TenantId(new_id()), "*", 0)])
