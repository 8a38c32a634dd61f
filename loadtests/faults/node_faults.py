"""Faults of the servers, of Postgres and of Redis.

Disk full is not among them: it takes a file system of its own, which only root can mount.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from loadtests.faults.guerdon_node import GuerdonNode
from loadtests.faults.injection import Fault, Injection
from loadtests.faults.links import Direction
from loadtests.faults.node import Node
from loadtests.faults.redis_node import RedisNode, has_all_of
from loadtests.faults.site import LOOK_SECONDS, Site, SiteError, until

# Seconds that servers take to connect again to a Postgres that has just come back, and a
# supervisor to replace a worker.
RETURN_SECONDS_MAX = 30.0
# Seconds in which the primary gets a write that its replica does not hear of. Without traffic there
# is none, and the failover loses nothing.
LAG_SECONDS_MAX = 2.0


@contextlib.asynccontextmanager
async def dead(node: Node) -> AsyncIterator[None]:
    """Killed with all its processes; started again at the end, and awaited."""
    await asyncio.to_thread(node.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(node.start)


@contextlib.asynccontextmanager
async def orphaned(server: GuerdonNode) -> AsyncIterator[None]:
    """Without its supervisor, and soon without its workers; started again at the end."""
    await asyncio.to_thread(server.kill_supervisor)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@contextlib.asynccontextmanager
async def frozen(node: Node, pids: list[int] | None = None) -> AsyncIterator[None]:
    """These of its processes, or all."""
    await asyncio.to_thread(node.freeze, pids)
    try:
        yield
    finally:
        await asyncio.to_thread(node.thaw)


@contextlib.asynccontextmanager
async def frozen_worker(site: Site, injection: Injection) -> AsyncIterator[None]:
    server = site.servers[injection.server]
    worker = await chosen(workers_of(server), injection)
    async with frozen(server, [worker]):
        yield


@contextlib.asynccontextmanager
async def frozen_backend(site: Site, injection: Injection) -> AsyncIterator[None]:
    backend = await chosen(site.postgres.backends, injection)
    async with frozen(site.postgres, [backend]):
        yield


@contextlib.asynccontextmanager
async def read_only_postgres(site: Site) -> AsyncIterator[None]:
    await site.postgres.set_read_only(True)
    try:
        yield
    finally:
        await site.postgres.set_read_only(False)


@contextlib.asynccontextmanager
async def paused(redis: RedisNode, seconds: float) -> AsyncIterator[None]:
    await asyncio.to_thread(redis.pause, seconds)
    try:
        yield
    finally:
        await asyncio.to_thread(redis.ping)


@contextlib.asynccontextmanager
async def switched_on(setting: Callable[[bool], None]) -> AsyncIterator[None]:
    await asyncio.to_thread(setting, True)
    try:
        yield
    finally:
        await asyncio.to_thread(setting, False)


@contextlib.asynccontextmanager
async def failed_over(site: Site) -> AsyncIterator[None]:
    """Two primaries: the new one lacks what the old one got last."""
    old, new = site.redis[site.primary], site.redis[1 - site.primary]
    await site.links.replication.hold(Direction.DOWNSTREAM)
    try:
        with contextlib.suppress(SiteError):
            await until(lambda: not has_all_of(new, old), LAG_SECONDS_MAX, "a lag")
        await asyncio.to_thread(new.promote)
        # A server alone has both: only its new connections lead to the new primary.
        links = site.links.redis
        for link in links[: max(1, len(links) // 2)]:
            await link.switch(new.port, reset=len(links) > 1)
        yield
    finally:
        await site.links.replication.heal()
        await site.join_redis(1 - site.primary)


@contextlib.asynccontextmanager
async def at_once(action: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """There is nothing to heal."""
    await action
    yield


async def kill_worker(site: Site, injection: Injection) -> None:
    server = site.servers[injection.server]
    server.kill_worker(await chosen(workers_of(server), injection))


async def kill_backend(site: Site, injection: Injection) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(await chosen(site.postgres.backends, injection), signal.SIGKILL)


async def terminate_backend(site: Site, injection: Injection) -> None:
    await site.postgres.terminate([await chosen(site.postgres.backends, injection)])


def workers_of(server: GuerdonNode) -> Callable[[], Coroutine[Any, Any, list[int]]]:
    async def workers() -> list[int]:
        return await asyncio.to_thread(server.workers)

    return workers


async def chosen(
    candidates: Callable[[], Coroutine[Any, Any, list[int]]], injection: Injection
) -> int:
    """The process id of one of them, as soon as there is one."""
    try:
        async with asyncio.timeout(RETURN_SECONDS_MAX):
            while not (pids := await candidates()):  # noqa: ASYNC110  # Other processes do it.
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise SiteError(f"there was nothing to break for {injection.fault}") from None
    return pids[injection.choice % len(pids)]


def the_server(injection: Injection) -> str:
    return f"server-{injection.server}"


def the_postgres(_: Injection) -> str:
    return "postgres"


def the_redis(_: Injection) -> str:
    return "redis"


SERVER_FAULTS = (
    Fault(
        "kill_server",
        "server",
        "SIGKILL to a supervisor and its workers at once",
        "started again on the same port",
        lambda site, injection: dead(site.servers[injection.server]),
        the_server,
        seconds=(0.5, 10.0),
    ),
    Fault(
        "kill_supervisor",
        "server",
        "SIGKILL to a supervisor alone; its workers finish their calls and end",
        "started again on the same port when they have",
        lambda site, injection: orphaned(site.servers[injection.server]),
        the_server,
        seconds=(0.5, 5.0),
    ),
    Fault(
        "freeze_server",
        "server",
        "SIGSTOP to a supervisor and its workers",
        "SIGCONT",
        lambda site, injection: frozen(site.servers[injection.server]),
        the_server,
        seconds=(0.5, 10.0),
    ),
    Fault(
        "kill_worker",
        "server",
        "SIGKILL to one worker",
        "by itself: the supervisor starts another",
        lambda site, injection: at_once(kill_worker(site, injection)),
        the_server,
    ),
    Fault(
        "freeze_worker",
        "server",
        "SIGSTOP to one worker",
        "SIGCONT",
        frozen_worker,
        the_server,
        seconds=(0.5, 10.0),
    ),
)

POSTGRES_FAULTS = (
    Fault(
        "kill_postgres",
        "postgres",
        "SIGKILL to Postgres and all its backends, as a loss of power",
        "started again; it recovers from its log",
        lambda site, _: dead(site.postgres),
        the_postgres,
        seconds=(0.2, 5.0),
    ),
    Fault(
        "freeze_postgres",
        "postgres",
        "SIGSTOP to Postgres and all its backends",
        "SIGCONT",
        lambda site, _: frozen(site.postgres),
        the_postgres,
        seconds=(0.2, 4.0),
    ),
    Fault(
        "kill_backend",
        "postgres",
        "SIGKILL to one backend of a server; Postgres ends all others too",
        "by itself: Postgres recovers",
        lambda site, injection: at_once(kill_backend(site, injection)),
        the_postgres,
    ),
    Fault(
        "terminate_backend",
        "postgres",
        "one backend of a server is told to end (57P01)",
        "by itself: the server connects again",
        lambda site, injection: at_once(terminate_backend(site, injection)),
        the_postgres,
    ),
    Fault(
        "freeze_backend",
        "postgres",
        "SIGSTOP to one backend of a server, with what it has locked",
        "SIGCONT",
        frozen_backend,
        the_postgres,
        seconds=(0.2, 4.0),
    ),
    Fault(
        "make_postgres_read_only",
        "postgres",
        "every write is refused (25006), as by a standby after a failover",
        "writes are allowed again",
        lambda site, _: read_only_postgres(site),
        the_postgres,
        seconds=(0.5, 5.0),
    ),
)

REDIS_FAULTS = (
    Fault(
        "kill_redis",
        "redis",
        "SIGKILL to Redis' primary",
        "started again, empty",
        lambda site, _: dead(site.redis[site.primary]),
        the_redis,
        seconds=(0.2, 5.0),
    ),
    Fault(
        "freeze_redis",
        "redis",
        "SIGSTOP to Redis' primary",
        "SIGCONT",
        lambda site, _: frozen(site.redis[site.primary]),
        the_redis,
        seconds=(0.2, 5.0),
    ),
    Fault(
        "pause_redis",
        "redis",
        "CLIENT PAUSE: connections are accepted and nothing is answered",
        "by itself when the time is over",
        lambda site, injection: paused(site.redis[site.primary], injection.seconds),
        the_redis,
        seconds=(0.1, 3.0),
    ),
    Fault(
        "flush_redis",
        "redis",
        "FLUSHALL",
        "by itself: what is committed is told again",
        lambda site, _: at_once(asyncio.to_thread(site.redis[site.primary].flush)),
        the_redis,
    ),
    Fault(
        "flush_redis_scripts",
        "redis",
        "SCRIPT FLUSH",
        "by itself: the servers load them again",
        lambda site, _: at_once(asyncio.to_thread(site.redis[site.primary].flush_scripts)),
        the_redis,
    ),
    Fault(
        "make_redis_read_only",
        "redis",
        "every write gets READONLY, as from a primary that was demoted",
        "a primary again",
        lambda site, _: switched_on(site.redis[site.primary].set_read_only),
        the_redis,
        seconds=(0.5, 5.0),
    ),
    Fault(
        "fill_redis",
        "redis",
        "every write gets OOM: memory is full and nothing is evicted",
        "there is memory again",
        lambda site, _: switched_on(site.redis[site.primary].set_full),
        the_redis,
        seconds=(0.5, 5.0),
    ),
    Fault(
        "fail_over_redis",
        "redis",
        "the replica, which lacks the latest writes, is promoted while the primary lives; half of "
        "the servers use the one and half the other",
        "all use the new primary, and the old one follows it",
        lambda site, _: failed_over(site),
        the_redis,
        seconds=(0.5, 5.0),
    ),
)

NODE_FAULTS = (*SERVER_FAULTS, *POSTGRES_FAULTS, *REDIS_FAULTS)
