"""A whole site: every fault of the catalogue is injected and healed, and all can write again."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator

import asyncpg
import msgspec
import psutil
import pytest
import redis.asyncio

from loadtests.admin import admin_of
from loadtests.faults.faults import CATALOGUE, Injection, apply, draw, injected
from loadtests.faults.links import Direction
from loadtests.faults.node import is_gone
from loadtests.faults.report import LANES
from loadtests.faults.site import ServerPlan, Site, SitePlan, open_site, until

SEED = 7
SERVERS = 2
PATIENCE_SECONDS = 30.0
# Those that stop a server cost its start, of which one is tested below.
RESTARTS = {"kill_server", "kill_supervisor"}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[None]:
    """What the machine's own environment names must not be touched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/none")
        patch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
        yield


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, elsewhere: None) -> AsyncIterator[Site]:
    plan = SitePlan((ServerPlan(workers=1),) * SERVERS)
    async with open_site(tmp_path_factory.mktemp("logs"), plan) as opened:
        yield opened


async def assert_whole(site: Site) -> None:
    """Everything answers through its links."""
    await site.until_serving()
    for link in site.links.postgres:
        connection = await asyncpg.connect(site.postgres.url_at(link.port))
        assert await connection.fetchval("select 1") == 1
        await connection.close()
    for link in site.links.redis:
        async with redis.asyncio.from_url(site.redis[site.primary].url_at(link.port)) as client:
            assert await client.set("whole", "yes")
    for address in site.addresses:
        await asyncio.to_thread(reach, address, site.api_key)


def reach(address: str, api_key: str) -> None:
    with admin_of(address, api_key):
        pass


@pytest.mark.parametrize("lane", ["server", "postgres", "redis", "links"])
async def test_every_fault_heals(site: Site, lane: str) -> None:
    chance = random.Random(SEED)
    names = [name for name, fault in CATALOGUE.items() if fault.lane == lane]
    for name in sorted(set(names) - RESTARTS):
        async with injected(site, draw(name, chance, SERVERS)):
            pass
    await assert_whole(site)


async def test_a_server_without_its_supervisor_ends_and_comes_back(site: Site) -> None:
    server, before = site.servers[0], site.servers[0].pids()
    workers = [psutil.Process(pid) for pid in server.workers()]
    async with injected(site, Injection("kill_supervisor", server=0)):
        await until(lambda: all(map(is_gone, workers)), PATIENCE_SECONDS, "the workers' end")
        assert not server.all_writable
    assert not set(before) & set(server.pids())


async def test_a_site_heals_whatever_was_done_to_it(site: Site) -> None:
    await asyncio.to_thread(site.servers[0].kill)
    assert not site.servers[0].is_running
    await asyncio.to_thread(site.servers[1].freeze)
    await asyncio.to_thread(site.redis[site.primary].kill)
    await site.postgres.set_read_only(True)
    await asyncio.to_thread(site.postgres.freeze)
    await site.links.postgres[0].black_hole(Direction.UPSTREAM)
    await site.links.clients[1].refuse()
    await site.heal()
    await assert_whole(site)


async def test_a_killed_worker_is_replaced(site: Site) -> None:
    server = site.servers[1]
    (killed,) = server.workers()
    async with injected(site, Injection("kill_worker", server=1)):
        pass
    await until(lambda: killed not in server.workers(), PATIENCE_SECONDS, "the worker's end")
    await site.until_serving()


async def test_a_failover_leaves_two_primaries_of_which_the_new_one_lags(site: Site) -> None:
    before = site.primary
    old, new = site.redis[before], site.redis[1 - before]
    async with (
        redis.asyncio.from_url(old.url) as first,
        redis.asyncio.from_url(new.url) as second,
    ):
        writing = asyncio.create_task(keep_writing(first))
        async with injected(site, Injection("fail_over_redis")):
            writing.cancel()
            assert await number_in(second) < await number_in(first)
            assert await first.set("who", "old")
            assert await second.set("who", "new")
            through = [redis.asyncio.from_url(new.url_at(link.port)) for link in site.links.redis]
            assert [await client.get("who") for client in through] == [b"new", b"old"]
            for client in through:
                await client.aclose()
        assert site.primary == 1 - before
        assert await first.get("who") == b"new"
        with pytest.raises(redis.ReadOnlyError):
            await first.set("who", "nobody")
    await assert_whole(site)


async def number_in(client: "redis.asyncio.Redis") -> int:
    return int(await client.get("number") or 0)


async def keep_writing(client: "redis.asyncio.Redis") -> None:
    number = 0
    while True:
        number += 1
        await client.set("number", number)


async def test_faults_of_one_thing_take_turns_and_leave_marks(site: Site) -> None:
    marks = await asyncio.gather(
        *(apply(site, Injection("flush_redis"), 0.0) for _ in range(2)),
        apply(site, Injection("freeze_redis", seconds=0.05), 0.0),
        apply(site, Injection("fill_redis", seconds=0.05), 0.0),
    )
    assert [mark.lane for mark in marks] == ["redis"] * 4
    assert [mark.ended_at is None for mark in marks] == [True, True, False, False]
    lasting = sorted(marks[2:], key=lambda mark: mark.began_at)
    assert lasting[0].ended_at is not None
    assert lasting[0].ended_at <= lasting[1].began_at


def test_a_seed_draws_the_same_faults_again() -> None:
    def drawn(seed: int) -> list[Injection]:
        chance = random.Random(seed)
        return [draw(name, chance, SERVERS) for name in CATALOGUE]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    written = msgspec.json.encode(drawn(1))
    assert msgspec.json.decode(written, type=list[Injection]) == drawn(1)
    for injection in drawn(3):
        fault = CATALOGUE[injection.fault]
        assert fault.lane in LANES
        assert 0 <= injection.server < SERVERS
        assert (injection.seconds > 0) == (fault.seconds is not None)


async def test_every_start_is_in_the_logs(site: Site) -> None:
    assert all(log.exists() for log in site.logs)
    assert len({log.name for log in site.logs}) == len(site.logs) > len(site.nodes)
