"""Every failpoint: a server killed, stopped or failed there, and what is then in Postgres.

The call goes to a server with failpoints, and its retry elsewhere. What must hold is the table of
faults: before the commit no effect or the whole effect, after it the whole, and locks soon free.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from guerdon.domain.identifiers import OfferId
from guerdon.serving.failpoints import Failpoint, Order
from loadtests.faults.failpoints import (
    FAILPOINTS_VARIABLE,
    arm,
    disarm,
    holding_redeems,
    install_waiting_redeem,
    reached_by,
)
from loadtests.history import CODES, TOTAL_LIMIT, Answer, Attempt
from tests.process.servers import Server, environment, serving
from tests.races.clients import REDEEM, Client, connected, redeem_message
from tests.races.site import Store, Tenant, assert_used_up, open_store
from tests.support.databases import DatabaseFactory
from tests.support.ledger import new_id

LOCKS_FREE_SECONDS_MAX = 5.0
PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.01
SHORT_SECONDS = 2.0
TOTAL = 2
# Where the commit is certain, and where it certainly has not happened.
COMMITTED = {Failpoint.ACKNOWLEDGED, Failpoint.TOLD, Failpoint.REPLIED}
UNCOMMITTED = {Failpoint.RECEIVED, Failpoint.VALIDATED, Failpoint.SORTED, Failpoint.LOCKED}
BUSY_QUERY = """
    select count(*) from pg_stat_activity
    where application_name = 'guerdon' and datname = current_database() and xact_start is not null
"""
ROW_QUERY = "select count(*) from guerdon.redemptions where request_id = $1"


@dataclass(frozen=True)
class Pair:
    """A server with failpoints, one without, and clients of one tenant at each."""

    store: Store
    folder: Path
    failing: Server
    tenant: Tenant
    at_failing: Client
    elsewhere: Client

    async def worker_pid(self) -> int:
        """Of the failing server; it has but one."""
        workers = await asyncio.to_thread(self.failing.workers)
        return int(next(iter(workers.values()))["pid"])

    async def rows(self, attempt: Attempt) -> int:
        return int(await self.store.owner.fetchval(ROW_QUERY, attempt.request_id))

    async def until_reached(self, point: Failpoint) -> int:
        """The process that reached it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (pid := reached_by(self.folder, point)) is None:
            assert time.monotonic() < deadline, f"nobody reaches {point}"
            await asyncio.sleep(POLL_SECONDS)
        return pid

    async def until_idle(self) -> None:
        """No server has a transaction any more, so no lock is held."""
        deadline = time.monotonic() + LOCKS_FREE_SECONDS_MAX
        while await self.store.owner.fetchval(BUSY_QUERY):
            assert time.monotonic() < deadline, "a transaction stays open"
            await asyncio.sleep(POLL_SECONDS)

    @contextlib.asynccontextmanager
    async def held(self, point: Failpoint) -> AsyncIterator[None]:
        """What K3 needs: a function that waits."""
        if point is not Failpoint.LOCKED:
            yield
            return
        async with holding_redeems(self.store.url):
            yield


@pytest.fixture(scope="module")
async def store(databases: DatabaseFactory) -> AsyncIterator[Store]:
    name = await databases.clone()
    async with open_store(databases.url(name), secrets.token_bytes(32)) as opened:
        await install_waiting_redeem(opened.owner)
        yield opened
    await databases.drop(name)


@pytest.fixture(scope="module")
async def servers(
    tmp_path_factory: pytest.TempPathFactory, store: Store, redis_server_url: str
) -> AsyncIterator[tuple[Server, Server, Path]]:
    folder = tmp_path_factory.mktemp("failpoints")
    settings = {"REDIS_URL": redis_server_url, "GUERDON_API_KEY_PEPPER": store.pepper.hex()}
    plain = environment(store.url, **settings)
    failing = environment(store.url, **settings, **{FAILPOINTS_VARIABLE: str(folder)})
    logs = tmp_path_factory.mktemp("logs")
    async with serving(logs, failing) as first, serving(logs, plain) as second:
        yield first, second, folder


@pytest.fixture
async def pair(store: Store, servers: tuple[Server, Server, Path]) -> AsyncIterator[Pair]:
    failing, plain, folder = servers
    tenant = await store.new_tenant()
    async with connected([failing.address, plain.address], tenant.key, 2) as (first, second):
        yield Pair(store, folder, failing, tenant, first, second)
    assert not any(disarm(folder, point) for point in Failpoint)


async def new_attempt(pair: Pair) -> Attempt:
    offer_id = await pair.tenant.new_offer(total_limit=TOTAL)
    return Attempt(new_id(), offer_id, new_id(), None, [])


async def ask(client: Client, attempt: Attempt, seconds: float = PATIENCE_SECONDS) -> Answer:
    answer = await client.send(REDEEM, redeem_message(attempt), seconds)
    attempt.answers.append(answer)
    return answer


async def assert_right_elsewhere(pair: Pair, attempt: Attempt, committed: int) -> None:
    """The retry tells what became of the call; what is left of the offer is there for others."""
    answer = await ask(pair.elsewhere, attempt)
    assert (answer.reason, answer.replayed) == ("", bool(committed))
    others = [Attempt(new_id(), attempt.offer_id, new_id(), None, []) for _ in range(TOTAL)]
    reasons = [(await ask(pair.elsewhere, other)).reason for other in others]
    assert reasons == ["", TOTAL_LIMIT]
    await assert_used_up(pair.tenant, OfferId(attempt.offer_id), [attempt, *others], TOTAL)


@pytest.mark.parametrize("point", Failpoint)
async def test_a_server_that_is_killed_leaves_no_effect_or_the_whole(
    pair: Pair, point: Failpoint
) -> None:
    attempt, worker = await new_attempt(pair), await pair.worker_pid()
    arm(pair.folder, point, Order.KILL)
    async with pair.held(point):
        answer = await ask(pair.at_failing, attempt)
        assert await pair.until_reached(point) == worker
        await asyncio.to_thread(gone, worker)
        await pair.until_idle()
    committed = await pair.rows(attempt)
    assert answer.is_grant or CODES[answer.code].name == "UNAVAILABLE"
    assert not answer.is_grant or point in {Failpoint.TOLD, Failpoint.REPLIED}
    assert point not in COMMITTED or committed == 1
    assert point not in UNCOMMITTED or committed == 0
    await assert_right_elsewhere(pair, attempt, committed)
    await pair.failing.until(lambda: is_another(pair.failing, worker), "a new worker")


@pytest.mark.parametrize("point", Failpoint)
async def test_a_server_that_is_frozen_holds_nobody_up(pair: Pair, point: Failpoint) -> None:
    attempt, worker = await new_attempt(pair), await pair.worker_pid()
    if point is not Failpoint.REPLIED:
        # So that the short deadline is for the call alone. But its own end must not meet the order.
        await ask(pair.at_failing, await new_attempt(pair))
    arm(pair.folder, point, Order.STOP)
    async with pair.held(point):
        call = asyncio.create_task(ask(pair.at_failing, attempt, SHORT_SECONDS))
        assert await pair.until_reached(point) == worker
        await asyncio.to_thread(stopped, worker)
    try:
        # Whatever reached Postgres goes on there without the server.
        await pair.until_idle()
        committed = await pair.rows(attempt)
        answer = await call
        await assert_right_elsewhere(pair, attempt, committed)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert answer.is_grant or CODES[answer.code].name == "DEADLINE_EXCEEDED"
    assert not answer.is_grant or point in {Failpoint.TOLD, Failpoint.REPLIED}
    before = UNCOMMITTED - {Failpoint.LOCKED}
    assert committed == (point not in before)
    # It goes on as before, and what it had begun changes nothing any more.
    assert (await ask(pair.at_failing, attempt)).replayed
    assert await pair.rows(attempt) == 1


@pytest.mark.parametrize("point", [p for p in Failpoint if p < Failpoint.TOLD])
async def test_a_connection_that_is_lost_there_is_made_good_or_told(
    pair: Pair, point: Failpoint
) -> None:
    attempt = await new_attempt(pair)
    arm(pair.folder, point, Order.ERROR)
    async with pair.held(point):
        call = asyncio.create_task(ask(pair.at_failing, attempt))
        await pair.until_reached(point)
    answer = await call
    committed = await pair.rows(attempt)
    if point < Failpoint.LOCKED:
        assert (CODES[answer.code].name, answer.reason) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
        assert committed == 0
    else:
        assert answer.is_grant
        assert committed == 1
    await assert_right_elsewhere(pair, attempt, committed)


async def test_one_order_is_for_one_process(pair: Pair) -> None:
    """Of many calls at once one meets it, and the others do not notice."""
    offer_id = await pair.tenant.new_offer()
    attempts = [Attempt(new_id(), offer_id, new_id(), None, []) for _ in range(20)]
    arm(pair.folder, Failpoint.RECEIVED, Order.ERROR)
    answers = await asyncio.gather(*(ask(pair.at_failing, attempt) for attempt in attempts))
    assert sum(answer.is_grant for answer in answers) == len(attempts) - 1
    assert reached_by(pair.folder, Failpoint.RECEIVED) == await pair.worker_pid()
    assert reached_by(pair.folder, Failpoint.RECEIVED) is None


def gone(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(PATIENCE_SECONDS)


def stopped(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, "it does not stop"


def is_another(server: Server, pid: int) -> bool:
    """Whether another worker serves in its place."""
    workers = server.workers().values()
    writable = 'guerdon_workers{state="writable"}'
    return all(int(w["pid"] or 0) not in (0, pid) for w in workers) and server.metric(writable) == 1
