"""Limits are reached exactly over two server processes, whatever becomes of Redis meanwhile.

An attempt is one request id, sent until its answer is definite.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import redis.asyncio

from guerdon.domain.identifiers import OfferId
from guerdon.limits import REDIS_COUNTERS_TTL_SECONDS
from loadtests.faults.observe import counters_key
from loadtests.history import CUSTOMER_LIMIT, TOTAL_LIMIT
from tests.races.clients import Progress, connected, make_attempts, settle_all
from tests.races.site import Site, Tenant, assert_used_up, calls_by_worker
from tests.support.ledger import counters, new_id
from tests.support.proofs import sized, tell

CLIENTS = sized(200, 100)
ATTEMPTS = sized(10_000, 2_500)
TOTAL = sized(1_000, 250)
PER_CUSTOMER = 2
# With two uses each they want somewhat more than there is, so that both limits refuse.
CUSTOMERS = TOTAL * 7 // 10
FLUSH_SECONDS = sized(1_000, 100) / 1000
FLUSHES_MIN = 3
HEAL_SECONDS_MAX = 30.0
REDIS_AVAILABLE = "guerdon_redis_available"

MOST_USES_QUERY = """
    select max(uses) from (
      select count(*) as uses from guerdon.redemptions where offer_id = $1 group by customer_id
    ) as customers
"""

Disturb = Callable[[Site, Progress], AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def undisturbed(_site: Site, _progress: Progress) -> AsyncIterator[None]:
    yield


@contextlib.asynccontextmanager
async def flushed(site: Site, _progress: Progress) -> AsyncIterator[None]:
    """Everything in Redis is gone again and again."""
    done = asyncio.Event()

    async def flush_until_done() -> int:
        flushes = 0
        async with redis.asyncio.from_url(site.redis.url) as client:
            while not done.is_set():
                await client.flushall()
                flushes += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), FLUSH_SECONDS)
        return flushes

    flushing = asyncio.create_task(flush_until_done())
    try:
        yield
    finally:
        done.set()
    assert await flushing >= FLUSHES_MIN


@contextlib.asynccontextmanager
async def stopped(site: Site, _progress: Progress) -> AsyncIterator[None]:
    """Redis is away from before the first attempt until after the last."""
    await asyncio.to_thread(site.redis.kill)
    try:
        yield
        assert site.server.metric(REDIS_AVAILABLE) == 0
    finally:
        await asyncio.to_thread(site.redis.start)


@contextlib.asynccontextmanager
async def killed_midway(site: Site, progress: Progress) -> AsyncIterator[None]:
    """Redis dies at a quarter of the load, and is back, empty, at half of it."""

    async def kill_and_start() -> None:
        await progress.until(lambda load: load.settled >= ATTEMPTS // 4)
        await asyncio.to_thread(site.redis.kill)
        try:
            await progress.until(lambda load: load.settled >= ATTEMPTS // 2)
        finally:
            await asyncio.to_thread(site.redis.start)

    killing = asyncio.create_task(kill_and_start())
    yield
    await killing


@pytest.mark.parametrize("disturb", [undisturbed, flushed, stopped, killed_midway])
async def test_limits_are_reached_exactly_by_two_processes(
    site: Site, tenant: Tenant, disturb: Disturb
) -> None:
    offer_id = await tenant.new_offer(total_limit=TOTAL, per_customer_limit=PER_CUSTOMER)
    attempts = make_attempts(offer_id, [new_id() for _ in range(CUSTOMERS)], ATTEMPTS)
    progress = Progress()
    await use_redis(site, tenant)
    breaks = breaker_openings(site)
    before = calls_by_worker(site.server)
    async with (
        connected([site.server.address], tenant.key, CLIENTS) as clients,
        disturb(site, progress),
    ):
        await settle_all(clients, attempts, progress)
    after = calls_by_worker(site.server)

    assert before.keys() == after.keys()
    served = [after[pid] - before[pid] for pid in after]
    tell(tries=sum(len(attempt.answers) for attempt in attempts), served=served)
    assert len(served) == 2
    assert min(served) >= sum(served) / 5
    assert sum(served) >= ATTEMPTS
    await assert_used_up(tenant, offer_id, attempts, TOTAL)
    answers = [attempt.answers[-1] for attempt in attempts]
    assert Counter(answer.reason for answer in answers).keys() == {"", TOTAL_LIMIT, CUSTOMER_LIMIT}
    assert sum(answer.is_grant for answer in answers) == TOTAL
    row = await counters(tenant.store.owner, offer_id)
    assert row["effects"] == TOTAL
    most: int = await tenant.store.owner.fetchval(MOST_USES_QUERY, offer_id)
    assert most == PER_CUSTOMER
    if disturb in (stopped, killed_midway):
        assert breaker_openings(site) > breaks
    await use_redis(site, tenant)
    await assert_redis_agrees(site, tenant, offer_id)


async def use_redis(site: Site, tenant: Tenant) -> None:
    """Call until every worker has found that Redis is there, if it thought otherwise."""
    offer_id = await tenant.new_offer(total_limit=TOTAL)
    deadline = time.monotonic() + HEAL_SECONDS_MAX
    async with connected([site.server.address], tenant.key, CLIENTS) as clients:
        while site.server.metric(REDIS_AVAILABLE) != 1:
            assert time.monotonic() < deadline
            attempts = make_attempts(offer_id, [new_id()], CLIENTS)
            await settle_all(clients, attempts, Progress())


async def assert_redis_agrees(site: Site, tenant: Tenant, offer_id: OfferId) -> None:
    """Whatever Redis had lost, the next call to each process tells it, and nothing stays there
    for ever."""
    late = make_attempts(offer_id, [new_id()], CLIENTS)
    async with connected([site.server.address], tenant.key, CLIENTS) as clients:
        await settle_all(clients, late, Progress())
    key = counters_key(tenant.tenant_id, offer_id)
    deadline = time.monotonic() + HEAL_SECONDS_MAX
    async with redis.asyncio.from_url(site.redis.url) as client:
        while await client.hget(key, "used") != str(TOTAL).encode():
            assert time.monotonic() < deadline
        assert 0 < await client.ttl(key) <= REDIS_COUNTERS_TTL_SECONDS


def breaker_openings(site: Site) -> float:
    return site.server.metric("guerdon_redis_breaker_opened_total") or 0
