"""The admission scripts on a real Redis: hints that heal, and a breaker."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import uvloop
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from guerdon.adapters.redis.admission import RedisAdmission
from guerdon.adapters.redis.breaker import Breaker
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.embedded import temporary_valkey
from guerdon.limits import REDIS_RETRY_SECONDS
from guerdon.ports import Counters, Road
from guerdon.telemetry import PrometheusMetrics
from tests.support.ledger import new_id

TENANT = TenantId(new_id())
CUSTOMER = CustomerId(new_id())


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(redis: Redis, clock: Clock) -> RedisAdmission:
    return RedisAdmission(redis, Breaker(clock, PrometheusMetrics(CollectorRegistry())))


def counters(
    offer_id: OfferId,
    *,
    sequence: int = 1,
    used: int = 1,
    total_limit: int | None = None,
    customer_limit: int | None = None,
    customers: dict[CustomerId, int] | None = None,
) -> Counters:
    return Counters(offer_id, 1, sequence, used, total_limit, customer_limit, customers or {})


async def tell(admission: RedisAdmission, *told: Counters) -> None:
    admission.record(TENANT, told)
    await admission.told()


async def road(admission: RedisAdmission, offer_id: OfferId) -> Road:
    return (await admission.sort(TENANT, [(offer_id, CUSTOMER)]))[0]


async def test_what_is_not_known_is_likely(admission: RedisAdmission) -> None:
    assert await road(admission, OfferId(new_id())) is Road.LIKELY


async def test_committed_uses_that_fill_a_limit_take_the_road_of_confirmation(
    admission: RedisAdmission,
) -> None:
    total, customer, free = OfferId(new_id()), OfferId(new_id()), OfferId(new_id())
    await tell(
        admission,
        counters(total, used=3, total_limit=3),
        counters(customer, customer_limit=2, customers={CUSTOMER: 2}),
        counters(free, used=99),
    )
    uses = [(total, CUSTOMER), (customer, CUSTOMER), (customer, CustomerId(new_id()))]
    assert await admission.sort(TENANT, [*uses, (free, CUSTOMER)]) == [
        Road.TOTAL_SPENT, Road.CUSTOMER_SPENT, Road.LIKELY, Road.LIKELY,
    ]  # fmt: skip


async def test_the_higher_sequence_wins_in_any_order(admission: RedisAdmission) -> None:
    offer = OfferId(new_id())
    revoked = counters(
        offer, sequence=5, used=2, total_limit=3, customer_limit=1, customers={CUSTOMER: 0}
    )
    redeemed = counters(
        offer, sequence=4, used=3, total_limit=3, customer_limit=1, customers={CUSTOMER: 1}
    )
    await tell(admission, revoked)
    await tell(admission, redeemed)
    assert await road(admission, offer) is Road.LIKELY
    admission.record(TENANT, [redeemed])
    admission.record(TENANT, [revoked])
    await admission.told()
    assert await road(admission, offer) is Road.LIKELY


async def test_many_tellings_at_once_leave_the_last(admission: RedisAdmission) -> None:
    offer = OfferId(new_id())
    for sequence in range(1, 200):
        admission.record(
            TENANT, [counters(offer, sequence=sequence, used=sequence, total_limit=199)]
        )
        await asyncio.sleep(0)
    await admission.told()
    assert await road(admission, offer) is Road.TOTAL_SPENT


async def test_a_flush_forgets_and_the_next_telling_heals(
    admission: RedisAdmission, redis: Redis
) -> None:
    offer = OfferId(new_id())
    spent = counters(offer, used=3, total_limit=3)
    await tell(admission, spent)
    await redis.flushall()
    assert await road(admission, offer) is Road.LIKELY
    await redis.script_flush()
    await tell(admission, spent)
    assert await road(admission, offer) is Road.TOTAL_SPENT


async def test_everything_told_expires(admission: RedisAdmission, redis: Redis) -> None:
    offer = OfferId(new_id())
    await tell(admission, counters(offer, customers={CUSTOMER: 1}))
    keys = [key async for key in redis.scan_iter()]
    assert len(keys) == 2
    assert all([await redis.ttl(key) > 0 for key in keys])
    assert not any(str(CUSTOMER).encode() in key or CUSTOMER.hex.encode() in key for key in keys)


async def test_a_broken_value_costs_nothing_but_speed(
    admission: RedisAdmission, redis: Redis
) -> None:
    offer = OfferId(new_id())
    await tell(admission, counters(offer, used=3, total_limit=3, customers={CUSTOMER: 1}))
    for key in [key async for key in redis.scan_iter()]:
        fields = await redis.hkeys(key)
        await redis.hset(key, mapping=dict.fromkeys(fields, b"\xff nonsense"))
    assert await road(admission, offer) is Road.LIKELY
    await tell(admission, counters(offer, sequence=9, used=3, total_limit=3))
    assert await road(admission, offer) is Road.TOTAL_SPENT


async def test_a_dead_redis_is_left_alone_and_found_again(clock: Clock) -> None:
    with temporary_valkey() as url:
        client = Redis.from_url(url)
        breaker = Breaker(clock, PrometheusMetrics(CollectorRegistry()))
        admission = RedisAdmission(client, breaker)
        offer = OfferId(new_id())
        await tell(admission, counters(offer, used=3, total_limit=3))
        await client.client_pause(500)
        started = time.monotonic()
        assert await road(admission, offer) is Road.LIKELY
        assert breaker.is_open
        for _ in range(100):
            assert await road(admission, offer) is Road.LIKELY
        assert time.monotonic() - started < 2.0
        async with Redis.from_url(url) as control:
            await control.ping()  # Answered when the pause is over.
        clock.seconds += REDIS_RETRY_SECONDS
        assert await road(admission, offer) is Road.TOTAL_SPENT
        assert admission.available
        await client.aclose()


async def test_an_answer_to_somebody_else_is_not_taken(
    admission: RedisAdmission, redis: Redis
) -> None:
    offer = OfferId(new_id())
    await tell(admission, counters(offer, used=3, total_limit=3))
    pool = redis.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # No types.
    await connection.send_command("ECHO", "a reply that nobody waits for")
    await redis.connection_pool.release(connection)
    assert await road(admission, offer) is Road.LIKELY
    assert not admission.available


def test_a_connection_that_was_closed_unseen_is_a_failure_like_any_other(redis_url: str) -> None:
    """uvloop, which the workers run on, tells of it by a RuntimeError."""

    async def ask_on_a_closed_connection() -> tuple[list[Road], bool]:
        async with Redis.from_url(redis_url) as redis:
            admission = RedisAdmission(
                redis, Breaker(Clock(), PrometheusMetrics(CollectorRegistry()))
            )
            pool = redis.connection_pool
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # No types.
            connection._writer.transport.abort()
            await redis.connection_pool.release(connection)
            roads = await admission.sort(TENANT, [(OfferId(new_id()), CUSTOMER)])
            return list(roads), admission.available

    assert uvloop.run(ask_on_a_closed_connection()) == ([Road.LIKELY], False)


async def test_what_redis_was_not_told_is_told_when_it_is_back() -> None:
    offer = OfferId(new_id())
    with temporary_valkey() as url:
        async with Redis.from_url(url) as client, Redis.from_url(url) as control:
            breaker = Breaker(time.monotonic, PrometheusMetrics(CollectorRegistry()))
            admission = RedisAdmission(client, breaker)
            full = {CUSTOMER: 1}
            admission.record(
                TENANT, [counters(offer, used=3, total_limit=3, customer_limit=1, customers=full)]
            )
            await admission.told()
            assert await road(admission, offer) is Road.TOTAL_SPENT
            await control.client_pause(500)
            # Two were given back, and Redis takes no telling of it.
            free = counters(offer, sequence=2, used=1, total_limit=3, customer_limit=1)
            admission.record(TENANT, [free])
            assert await road(admission, offer) is Road.LIKELY
            assert breaker.is_open
            await admission.told()
            assert admission.available
            # Nor does it count what was known of the customer: of a newer use it may not know.
            assert await road(admission, offer) is Road.LIKELY
            filled = counters(offer, sequence=3, used=3, total_limit=3, customers={})
            admission.record(TENANT, [filled])
            await admission.told()
            assert await road(admission, offer) is Road.TOTAL_SPENT


async def test_many_offers_that_redis_missed_are_told_in_parts() -> None:
    offers = [OfferId(new_id()) for _ in range(3_000)]
    with temporary_valkey() as url:
        async with Redis.from_url(url) as client, Redis.from_url(url) as control:
            breaker = Breaker(time.monotonic, PrometheusMetrics(CollectorRegistry()))
            admission = RedisAdmission(client, breaker)
            await control.client_pause(200)
            admission.record(TENANT, [counters(offer, used=3, total_limit=3) for offer in offers])
            await admission.told()
            assert admission.available
            assert await road(admission, offers[0]) is Road.TOTAL_SPENT
            assert await road(admission, offers[-1]) is Road.TOTAL_SPENT
