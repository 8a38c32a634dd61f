"""Servers, Postgres and Redis are killed under load; every unanswered request is sent again.

The load redeems and revokes, and what was given back is used up in the end. Rows, counters and
every client's history must then agree: see loadtests/audit.py for the invariants.
"""

import asyncio
import contextlib
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import asyncpg
import psutil
import pytest

from guerdon.adapters.postgres.migrate import migrate_up
from guerdon.api.offers.v1.offer_service_pb2 import RevokeRequest
from loadtests.faults.postgres_node import PostgresNode, mortal_postgres
from loadtests.faults.redis_node import RedisNode, mortal_redis
from loadtests.history import CODES, Attempt
from tests.process.servers import Server, serving
from tests.races.clients import (
    REDEEM,
    REVOKE,
    Client,
    Progress,
    connected,
    make_attempts,
    redeem_message,
    settle_all,
)
from tests.races.site import (
    TWO_WORKERS,
    Store,
    assert_used_up,
    open_store,
    site_environment,
)
from tests.support.ledger import new_id
from tests.support.proofs import sized, tell

CLIENTS = sized(200, 60)
ATTEMPTS = sized(10_000, 1_500)
TOTAL = sized(2_000, 300)
PER_CUSTOMER = 2
REVOKED_SHARE = 0.3
# Answers that left the outcome open, without which a kill was not felt.
INDEFINITE_MIN = sized(50, 10)
QUIET_SECONDS_MAX = 10.0
FAULT_SECONDS_MAX = 60.0

BUSY_QUERY = """
    select pid, state, query from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid()
      and datname = current_database() and xact_start is not null
"""


class MortalSite:
    """A site of which everything can be killed. Its address stays."""

    def __init__(self, folder: Path, postgres: PostgresNode, redis: RedisNode) -> None:
        self.folder = folder
        self.postgres = postgres
        self.redis = redis
        self.pepper = secrets.token_bytes(32)
        self.address = "127.0.0.1:0"
        self._stack = contextlib.AsyncExitStack()

    async def start(self, store: Store) -> None:
        """At the address of the start before, if there was one."""
        port = self.address.rpartition(":")[2]
        env = site_environment(store, self.redis)
        starting = serving(self.folder, env, *TWO_WORKERS, "--port", port)
        self.server: Server = await self._stack.enter_async_context(starting)
        self.address = self.server.address

    async def end(self) -> None:
        await self._stack.aclose()

    def worker_pids(self) -> list[int]:
        return [int(worker["pid"]) for worker in self.server.workers().values()]

    def kill_all(self) -> None:
        """SIGKILL to the supervisor and every worker."""
        pids = [self.server.process.pid, *self.worker_pids()]
        processes = [psutil.Process(pid) for pid in pids]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=QUIET_SECONDS_MAX)


Fault = Callable[[MortalSite, Store, Progress], Awaitable[None]]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresNode]:
    with mortal_postgres() as server:
        yield server


@pytest.fixture(scope="module")
async def mortal_site(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresNode
) -> AsyncIterator[MortalSite]:
    await migrate_up(postgres.url)
    with mortal_redis() as redis:
        site = MortalSite(tmp_path_factory.mktemp("mortal"), postgres, redis)
        async with open_store(postgres.url, site.pepper) as store:
            await site.start(store)
        yield site
        await site.end()


async def kill_a_worker(site: MortalSite, _store: Store, progress: Progress) -> None:
    """One of the two; the supervisor starts another."""
    before = set(site.worker_pids())
    os.kill(max(before), signal.SIGKILL)
    await progress.until(lambda load: load.indefinite >= INDEFINITE_MIN)
    await site.server.until(
        lambda: (
            len(set(site.worker_pids()) - before) == 1
            and site.server.metric('guerdon_workers{state="writable"}') == 2
        ),
        "a new worker",
    )


async def freeze_a_worker(site: MortalSite, _store: Store, progress: Progress) -> None:
    """Whoever called it runs out of time; the other one goes on, for no lock outlives a batch."""
    frozen = max(site.worker_pids())
    os.kill(frozen, signal.SIGSTOP)
    try:
        settled = progress.settled
        await progress.until(lambda load: load.settled >= settled + ATTEMPTS // 10)
        await progress.until(lambda load: load.indefinite >= INDEFINITE_MIN)
    finally:
        # The supervisor gives up one that stands still for too long.
        with contextlib.suppress(ProcessLookupError):
            os.kill(frozen, signal.SIGCONT)


async def kill_the_server(site: MortalSite, store: Store, progress: Progress) -> None:
    """Supervisor and workers; started again on the same port."""
    site.kill_all()
    await progress.until(lambda load: load.indefinite >= INDEFINITE_MIN)
    await site.start(store)


async def kill_postgres(site: MortalSite, _store: Store, progress: Progress) -> None:
    """As a loss of power; it recovers from its log on the same port."""
    await asyncio.to_thread(site.postgres.kill)
    try:
        await progress.until(lambda load: load.indefinite >= INDEFINITE_MIN)
    finally:
        await asyncio.to_thread(site.postgres.start)


async def kill_backends(site: MortalSite, _store: Store, progress: Progress) -> None:
    """Postgres then ends all others too and recovers by itself; servers retry, so few notice."""
    async with asyncio.timeout(FAULT_SECONDS_MAX):
        while progress.indefinite < INDEFINITE_MIN:
            await kill_a_backend(site.postgres.url)


async def kill_a_backend(url: str) -> None:
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        watch = await asyncpg.connect(url)
        backend = "select pid from pg_stat_activity where application_name = 'guerdon' limit 1"
        pid = await watch.fetchval(backend)
        if pid is None:
            # The servers have not come back yet from the time before.
            await watch.close()
            return
        os.kill(pid, signal.SIGKILL)
        # Ends as soon as this connection's own backend is ended with the others.
        await watch.fetchval("select pg_sleep($1)", FAULT_SECONDS_MAX)


@pytest.mark.parametrize(
    "fault", [kill_a_worker, freeze_a_worker, kill_the_server, kill_postgres, kill_backends]
)
async def test_nothing_is_lost_or_counted_twice_when_processes_are_killed(
    mortal_site: MortalSite, fault: Fault
) -> None:
    site, progress = mortal_site, Progress()
    async with open_store(site.postgres.url, site.pepper) as store:
        tenant = await store.new_tenant()
        offer_id = await tenant.new_offer(total_limit=TOTAL, per_customer_limit=PER_CUSTOMER)
        attempts = make_attempts(offer_id, [new_id() for _ in range(TOTAL)], ATTEMPTS)
        late = make_attempts(offer_id, [new_id() for _ in range(TOTAL)], TOTAL)
        revokes: list[Attempt] = []
        async with connected([site.address], tenant.key, CLIENTS) as clients:
            acting = asyncio.create_task(act_midway(fault, site, store, progress))
            await redeem_and_revoke(clients, attempts, revokes, progress)
            await acting
            await settle_all(clients, late, progress)
    async with open_store(site.postgres.url, site.pepper) as store:
        tenant = tenant.seen_by(store)
        await assert_used_up(tenant, offer_id, attempts + late, TOTAL)
        await assert_revoked_once(store, revokes)
        await until_quiet(store)
    words = Counter(attempt.answers[-1].reason or "OK" for attempt in attempts + late)
    tell(outcomes=dict(words), revokes=len(revokes), indefinite=progress.indefinite)
    assert progress.indefinite >= INDEFINITE_MIN


async def act_midway(fault: Fault, site: MortalSite, store: Store, progress: Progress) -> None:
    # Before the offer is sold out, so that what is under way would have been granted.
    await progress.until(lambda load: load.settled >= ATTEMPTS // 10)
    await fault(site, store, progress)


async def redeem_and_revoke(
    clients: Sequence[Client],
    attempts: Sequence[Attempt],
    revokes: list[Attempt],
    progress: Progress,
) -> None:
    """Some of what is granted is given back at once."""
    waiting = iter(attempts)
    draw = random.Random(len(attempts))

    async def work(client: Client) -> None:
        for attempt in waiting:
            answer = await client.settle(REDEEM, redeem_message(attempt), attempt, progress)
            if answer.is_grant and draw.random() < REVOKED_SHARE:
                revoke = Attempt(attempt.request_id, attempt.offer_id, attempt.customer_id)
                revokes.append(revoke)
                message = RevokeRequest(request_id=str(attempt.request_id), reason="payment failed")
                await client.settle(REVOKE, message, revoke, progress)

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(work(client))


async def assert_revoked_once(store: Store, revokes: Sequence[Attempt]) -> None:
    """Every revoke was answered OK, and its redemption is revoked, which the audit counts."""
    assert revokes
    codes = {CODES[revoke.answers[-1].code].name for revoke in revokes}
    assert codes == {"OK"}
    standing = await store.owner.fetchval(
        "select count(*) from guerdon.redemptions"
        " where request_id = any ($1) and revoked_at is null",
        [revoke.request_id for revoke in revokes],
    )
    assert standing == 0


async def until_quiet(store: Store) -> None:
    """No transaction stays open, so no lock does."""
    deadline = time.monotonic() + QUIET_SECONDS_MAX
    while busy := await store.owner.fetch(BUSY_QUERY):
        assert time.monotonic() < deadline, busy
