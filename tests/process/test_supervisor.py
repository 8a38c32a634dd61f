"""The supervisor and its workers, as real processes on a real database."""

import asyncio
import os
import secrets
import signal
from pathlib import Path

import asyncpg
import grpc
import psutil
from grpc_health.v1 import health_pb2

from guerdon.limits import WORKER_SILENT_LOOK_SECONDS, WORKER_SILENT_LOOKS_MAX
from guerdon.serving.messages import ExitCode
from guerdon.serving.supervisor import METRICS_FOLDER_VARIABLE
from loadtests.history import Attempt
from tests.process.servers import (
    PATIENCE_SECONDS,
    POLL_SECONDS,
    Server,
    environment,
    serving,
    started,
)
from tests.races.clients import REDEEM, connected, redeem_message
from tests.races.site import open_store
from tests.support.databases import DatabaseFactory
from tests.support.ledger import new_id

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
WAITING_QUERY = """
    select exists (
      select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())
"""
# Until a frozen worker is given up, and a new one is there.
FROZEN_SECONDS_MAX = WORKER_SILENT_LOOKS_MAX * WORKER_SILENT_LOOK_SECONDS + PATIENCE_SECONDS


async def ask_health(address: str) -> int:
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        answer = await check(health_pb2.HealthCheckRequest(), timeout=10)
        return int(answer.status)


def pids(server: Server) -> set[int]:
    return {int(worker["pid"]) for worker in server.workers().values()}


async def test_workers_share_the_port_and_are_ready(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, environment(database_url), "--workers", "2") as server:
        assert server.get("/healthz")[0] == 200
        status, _ = server.get("/readyz")
        assert status == 200
        assert len(pids(server)) == 2
        assert await ask_health(server.address) == SERVING
        assert server.metric('guerdon_workers{state="writable"}') == 2
        assert await server.stop() == 0


async def test_a_killed_worker_is_replaced_and_the_others_go_on(
    tmp_path: Path, database_url: str
) -> None:
    async with serving(tmp_path, environment(database_url), "--workers", "2") as server:
        before = pids(server)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        await server.until(lambda: len(pids(server) - before) == 1, "a new worker")
        assert before - {victim} <= pids(server)
        await server.until(
            lambda: server.metric('guerdon_workers{state="writable"}') == 2, "both can write"
        )
        assert server.metric("guerdon_worker_restarts_total") == 1
        assert await ask_health(server.address) == SERVING


async def test_a_killed_supervisor_takes_its_workers_along_and_leaves_the_port(
    tmp_path: Path, database_url: str
) -> None:
    env = environment(database_url)
    async with serving(tmp_path, env, "--workers", "2") as server:
        workers = [psutil.Process(pid) for pid in pids(server)]
        port = server.address.rpartition(":")[2]
        server.process.kill()
        async with serving(tmp_path, env, "--port", port) as second:
            await second.until(
                lambda: not psutil.wait_procs(workers, timeout=0)[1], "the old workers end"
            )
            assert await ask_health(second.address) == SERVING


async def test_a_worker_ends_its_calls_in_peace_when_its_supervisor_was_killed(
    tmp_path: Path, database_url: str, owner: asyncpg.Connection
) -> None:
    """It goes on telling its health meanwhile, and nobody hears it."""
    pepper = secrets.token_bytes(32)
    env = environment(database_url, GUERDON_API_KEY_PEPPER=pepper.hex())
    async with open_store(database_url, pepper) as store, serving(tmp_path, env) as server:
        tenant = await store.new_tenant()
        message = redeem_message(Attempt(new_id(), await tenant.new_offer(), new_id()))
        workers = [psutil.Process(pid) for pid in pids(server)]
        async with connected([server.address], tenant.key, 1) as (client,), owner.transaction():
            await owner.execute("select from guerdon.offer_counters for update")
            calling = asyncio.create_task(client.send(REDEEM, message, seconds=PATIENCE_SECONDS))
            for _ in range(int(PATIENCE_SECONDS / POLL_SECONDS)):
                if await store.owner.fetchval(WAITING_QUERY):
                    break
                await asyncio.sleep(POLL_SECONDS)
            server.process.kill()
            await calling
        await asyncio.to_thread(psutil.wait_procs, workers, PATIENCE_SECONDS)
        assert not any(worker.is_running() for worker in workers)
        assert "worker failed" not in server.log.read_text()


async def test_a_killed_supervisors_metrics_go_at_the_next_start(
    tmp_path: Path, database_url: str
) -> None:
    env = environment(database_url, TMPDIR=str(tmp_path))
    async with serving(tmp_path, env) as server, serving(tmp_path, env) as living:
        (left,) = metrics_folders_of(server)
        (kept,) = metrics_folders_of(living)
        server.process.kill()
        await server.ended()
        for folder in (left, kept):
            # Older than any that is just being made.
            os.utime(folder, (0, 0))
        async with serving(tmp_path, env) as third:
            assert not left.exists()
            assert kept.exists()
            assert living.metric("guerdon_worker_restarts_total") == 0
            (own,) = metrics_folders_of(third)
            await third.stop()
            assert not own.exists()


def metrics_folders_of(server: Server) -> set[Path]:
    """Where its workers keep their metrics."""
    return {Path(psutil.Process(pid).environ()[METRICS_FOLDER_VARIABLE]) for pid in pids(server)}


async def test_a_frozen_worker_is_replaced(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, environment(database_url), "--workers", "2") as server:
        before = pids(server)
        frozen = psutil.Process(min(before))
        frozen.suspend()
        await server.until(
            lambda: len(pids(server) - before) == 1, "a new worker", FROZEN_SECONDS_MAX
        )
        assert not frozen.is_running()
        assert before - {frozen.pid} <= pids(server)
        await server.until(
            lambda: server.metric('guerdon_workers{state="writable"}') == 2, "both can write"
        )


async def test_a_worker_that_was_stopped_for_a_moment_is_kept(
    tmp_path: Path, database_url: str
) -> None:
    async with serving(tmp_path, environment(database_url)) as server:
        before = pids(server)
        stopped = psutil.Process(min(before))
        stopped.suspend()
        await server.until(lambda: server.get("/readyz")[0] == 503, "it is missed")
        stopped.resume()
        await server.until(lambda: server.get("/readyz")[0] == 200, "it is back")
        assert pids(server) == before


async def test_a_second_server_cannot_share_the_port(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, environment(database_url)) as server:
        port = server.address.rpartition(":")[2]
        async with started(tmp_path, environment(database_url), "--port", port) as second:
            assert await second.ended() == ExitCode.CONFIGURATION
            assert f"Cannot listen on 127.0.0.1:{port}" in second.log.read_text()


async def test_ready_means_that_a_row_can_be_written(
    tmp_path: Path, database_url: str, owner: asyncpg.Connection
) -> None:
    name = await owner.fetchval("select current_database()")
    async with serving(tmp_path, environment(database_url)) as server:
        await owner.execute(f"alter database {name} set default_transaction_read_only = on")
        await owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        await server.until(lambda: server.get("/readyz")[0] == 503, "not ready any more")
        assert await ask_health(server.address) == NOT_SERVING
        await owner.execute("set default_transaction_read_only = off")
        await owner.execute(f"alter database {name} reset default_transaction_read_only")
        await owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        await server.until(lambda: server.get("/readyz")[0] == 200, "ready again")
        assert await ask_health(server.address) == SERVING


async def test_a_database_without_a_schema_is_refused_with_advice(
    tmp_path: Path, databases: DatabaseFactory
) -> None:
    name = await databases.make_empty()
    env = environment(databases.url(name), GUERDON_DATABASE_ROLE="none")
    async with started(tmp_path, env, "--workers", "2") as server:
        assert await server.ended() == ExitCode.CONFIGURATION
    text = server.log.read_text()
    assert "run `guerdon migrate up`" in text
    assert "not bound by row level security" in text
    assert text.count("run `guerdon migrate up`") == 1


async def test_a_table_without_forced_row_level_security_is_refused(
    tmp_path: Path, database_url: str, owner: asyncpg.Connection
) -> None:
    await owner.execute("alter table guerdon.redemptions no force row level security")
    async with started(tmp_path, environment(database_url)) as server:
        assert await server.ended() == ExitCode.CONFIGURATION
    assert "not forced on guerdon.redemptions" in server.log.read_text()


async def test_settings_without_a_database_end_with_advice(tmp_path: Path) -> None:
    async with started(tmp_path, environment("")) as server:
        assert await server.ended() == ExitCode.CONFIGURATION
    assert "DATABASE_URL is not set" in server.log.read_text()
