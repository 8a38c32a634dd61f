"""What only a standing site can tell: memory, sessions and locks, Redis against Postgres, logs."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import asyncpg
import psutil
from redis.asyncio import Redis

from loadtests.bench.memory import MEGABYTE
from loadtests.faults.record import CounterPair, RunRecord
from loadtests.faults.site import Site

# Seconds between two looks at the workers' memory.
LOOK_SECONDS = 2.0
# Seconds after the last call within which Redis must say what Postgres says.
CONVERGE_SECONDS_MAX = 30.0
POLL_SECONDS = 0.25
# Seconds in which a telling that is under way arrives.
TELL_SECONDS = 1.0
# Seconds in which everything that was under way must have ended: a statement's bound, and more.
IDLE_SECONDS_MAX = 30.0
# Looks at sessions and locks, POLL_SECONDS apart: what is only passing is not there at all of them.
LEFTOVER_LOOKS = 8

BUSY_QUERY = """
    select format('%s, for %s s: %s', state, round(extract(epoch from now() - xact_start)),
                  left(query, 80))
    from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid() and xact_start is not null
"""
LOCKS_QUERY = """
    select format('%s on %s', l.mode, coalesce(l.relation::regclass::text, l.locktype))
    from pg_locks l
    where l.pid <> pg_backend_pid() and l.locktype <> 'virtualxid'
      and l.pid in (select a.pid from pg_stat_activity a where a.backend_type = 'client backend')
"""
COUNTERS_QUERY = """
    select o.offer_id, c.last_sequence::text as sequence, c.version::text as version,
           c.used::text as used, coalesce(o.total_limit::text, '') as total_limit,
           coalesce(o.per_customer_limit::text, '') as customer_limit
    from guerdon.offer_counters c
    join guerdon.offers o on o.tenant_id = c.tenant_id and o.offer_id = c.offer_id
    where c.tenant_id = $1 and c.slot = 0
    order by o.offer_id
"""


# Asks for one use of each of these offers.
Use = Callable[[Sequence[UUID]], Awaitable[None]]


class Watch:
    """The workers' memory over time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.worker_megabytes: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def running(self) -> "Iterator[Watch]":
        looking = asyncio.create_task(self._look_for_ever())
        try:
            yield self
        finally:
            looking.cancel()

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        for server in self._site.servers:
            # A server that is being killed or started has no workers to tell of.
            with contextlib.suppress(Exception):
                for pid in server.workers():
                    resident = psutil.Process(pid).memory_info().rss / MEGABYTE
                    self.worker_megabytes.setdefault(str(pid), []).append(round(resident, 1))


async def until_idle(database_url: str) -> None:
    """No session has a transaction open; after IDLE_SECONDS_MAX whatever is left stays, and is
    found by the look for leftovers."""
    async with database(database_url) as connection:
        for _ in range(int(IDLE_SECONDS_MAX / POLL_SECONDS)):
            if not await connection.fetch(BUSY_QUERY):
                return
            await asyncio.sleep(POLL_SECONDS)


async def observe(site: Site, record: RunRecord, use: Use) -> None:
    """Fills `record.observed` after the last call, but for those of `use`."""
    await until_idle(site.database_url)
    async with database(site.database_url) as connection:
        found = record.observed
        found.leftovers = await leftovers(connection)
        found.counters = await converged_counters(site, connection, record.tenants, use)
    found.log_errors = [line for path in site.logs for line in errors_in(path)]


async def leftovers(connection: asyncpg.Connection) -> list[str]:
    """Transactions and locks that nobody is using. Proofs of health come and go: what is left is
    there at every look."""
    left: set[str] | None = None
    for _ in range(LEFTOVER_LOOKS):
        rows = await connection.fetch(BUSY_QUERY) + await connection.fetch(LOCKS_QUERY)
        seen = {row[0] for row in rows}
        left = seen if left is None else left & seen
        if not left:
            return []
        await asyncio.sleep(POLL_SECONDS)
    return sorted(left or ())


async def converged_counters(
    site: Site, connection: asyncpg.Connection, tenants: Sequence[UUID], use: Use
) -> list[CounterPair]:
    """Once they are equal, or as they are when the time is over.

    A telling is lost with its server, and so is what Redis had at a failover; the next use of the
    offer tells all of it. So those that differ are used now and then.
    """
    deadline = time.monotonic() + CONVERGE_SECONDS_MAX
    async with Redis.from_url(site.redis[site.primary].url, decode_responses=True) as redis:
        while True:
            pairs = [
                pair for tenant in tenants for pair in await pairs_of(connection, redis, tenant)
            ]
            differing = [pair.offer_id for pair in pairs if pair.redis != pair.postgres]
            if not differing or time.monotonic() > deadline:
                return pairs
            await asyncio.sleep(TELL_SECONDS)
            await use(differing)
            await asyncio.sleep(POLL_SECONDS)


async def pairs_of(
    connection: asyncpg.Connection, redis: "Redis", tenant_id: UUID
) -> list[CounterPair]:
    pairs = []
    for row in await connection.fetch(COUNTERS_QUERY, tenant_id):
        stored = dict(row)
        offer_id = stored.pop("offer_id")
        key = counters_key(tenant_id, offer_id)
        known = {str(name): str(value) for name, value in (await redis.hgetall(key)).items()}
        pairs.append(CounterPair(offer_id, known or None, stored))
    return pairs


def counters_key(tenant_id: UUID, offer_id: UUID) -> str:
    """Where Redis has what adapters/redis/admission.py tells it."""
    return f"guerdon:{{{tenant_id.hex}}}:{offer_id.hex}:counters"


def errors_in(path: Path) -> Iterator[str]:
    """Lines of a server's log that tell of a defect, not of a fault: an answer INTERNAL, or a
    traceback that nobody caught."""
    for line in path.read_text(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            if line.startswith("Traceback (most recent call last)"):
                yield f"{path.name}: {line}"
            continue
        if isinstance(event, dict) and event.get("level") in ("error", "critical"):
            yield f"{path.name}: {line[:400]}"


@contextlib.asynccontextmanager
async def database(url: str) -> "AsyncIterator[asyncpg.Connection]":
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
