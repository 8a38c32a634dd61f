"""Real servers that are killed, frozen and spoilt, each as its fault says, and come back."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from guerdon.embedded.process import EmbeddedServerError, ServerOrder
from loadtests import ROOT
from loadtests.faults.guerdon_node import guerdon_environment
from loadtests.faults.node import Node, is_gone, stands_still
from loadtests.faults.postgres_node import PostgresNode, mortal_postgres
from loadtests.faults.redis_node import RedisNode, has_all_of, mortal_redis

# Seconds in which what a killed owner left must be gone.
GONE_SECONDS_MAX = 20.0
# As asyncpg tells that a session has ended, whatever it was doing.
LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
# An owner of a frozen server, which says which processes it has and waits to be killed.
OWNER = """
import sys
from loadtests.faults.redis_node import mortal_redis
with mortal_redis() as node:
    node.freeze()
    print(*node.pids(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresNode]:
    with mortal_postgres() as node:
        yield node


@pytest.fixture(scope="module")
def redis_node() -> Iterator[RedisNode]:
    with mortal_redis() as node:
        yield node


@pytest.fixture
def client(redis_node: RedisNode) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_node.url) as opened:
        yield opened


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + GONE_SECONDS_MAX
    while psutil.pid_exists(pid) and not is_gone(psutil.Process(pid)):
        assert time.monotonic() < deadline, f"process {pid} outlives its owner"
        time.sleep(0.01)


async def test_a_killed_postgres_keeps_every_acknowledged_row(postgres: PostgresNode) -> None:
    port = postgres.port
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("create table kept (number integer)")
    for number in range(20):
        await connection.execute("insert into kept values ($1)", number)
    await asyncio.to_thread(postgres.kill)
    assert postgres.pids() == []
    with pytest.raises(LOST):
        await connection.execute("insert into kept values (99)")
    with pytest.raises(OSError, match=r".+"):
        await asyncpg.connect(postgres.url)
    await asyncio.to_thread(postgres.start)
    assert postgres.port == port
    again = await asyncpg.connect(postgres.url)
    kept = await again.fetch("select number from kept order by number")
    assert [row["number"] for row in kept] == list(range(20))
    await again.close()
    assert "not properly shut down" in postgres.logs[-1].read_text()


async def test_single_backends_end_as_they_are_told(postgres: PostgresNode) -> None:
    named = {"application_name": "guerdon"}
    sessions = [await asyncpg.connect(postgres.url, server_settings=named) for _ in range(2)]
    first, second = await postgres.backends()
    assert [session.get_server_pid() for session in sessions] == [first, second]
    await postgres.terminate([first])
    with pytest.raises(LOST):
        await sessions[0].fetchval("select 1")
    assert await sessions[1].fetchval("select 1") == 1
    os.kill(second, signal.SIGKILL)
    with pytest.raises(LOST):
        await sessions[1].fetchval("select pg_sleep(60)")
    # It recovers by itself, and is waited for.
    assert await postgres.backends() == []


async def test_a_read_only_postgres_refuses_to_write(postgres: PostgresNode) -> None:
    present = await asyncpg.connect(postgres.url)
    await postgres.set_read_only(True)
    # A reload reaches a session between two of its statements.
    async with asyncio.timeout(GONE_SECONDS_MAX):
        while await present.fetchval("show default_transaction_read_only") == "off":
            pass
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await present.execute("create table refused ()")
    await postgres.set_read_only(False)
    later = await asyncpg.connect(postgres.url)
    await later.execute("create table allowed ()")
    await later.close()
    await present.close()


def test_a_killed_redis_comes_back_empty_where_it_was(
    redis_node: RedisNode, client: redis.Redis
) -> None:
    client.set("some", "thing")
    redis_node.kill()
    with pytest.raises(redis.ConnectionError):
        client.get("some")
    redis_node.start()
    assert client.dbsize() == 0


def test_redis_is_flushed_filled_and_made_read_only(
    redis_node: RedisNode, client: redis.Redis
) -> None:
    client.set("some", "thing")
    digest = client.script_load("return 1")
    redis_node.flush_scripts()
    assert client.script_exists(digest) == [False]
    redis_node.flush()
    assert client.dbsize() == 0
    redis_node.set_full(True)
    with pytest.raises(redis.OutOfMemoryError):
        client.set("some", "thing")
    redis_node.set_full(False)
    redis_node.set_read_only(True)
    with pytest.raises(redis.ReadOnlyError):
        client.set("some", "thing")
    redis_node.reset_settings()
    assert client.set("some", "thing")


def test_a_paused_redis_takes_connections_and_does_not_answer(redis_node: RedisNode) -> None:
    redis_node.pause(0.5)
    with (
        redis.Redis.from_url(redis_node.url, socket_timeout=0.1) as hasty,
        pytest.raises(redis.TimeoutError),
    ):
        hasty.get("some")
    redis_node.ping()


def test_a_frozen_server_stands_still_until_it_is_thawed(redis_node: RedisNode) -> None:
    redis_node.freeze()
    (server,) = map(psutil.Process, redis_node.pids())
    assert server.status() == psutil.STATUS_STOPPED
    with (
        redis.Redis.from_url(redis_node.url, socket_timeout=0.1) as hasty,
        pytest.raises(redis.TimeoutError),
    ):
        hasty.get("some")
    redis_node.thaw()
    redis_node.ping()
    redis_node.freeze()
    redis_node.kill()
    assert is_gone(server)
    redis_node.start()
    redis_node.ping()


async def test_freezing_postgres_freezes_every_backend(postgres: PostgresNode) -> None:
    connection = await asyncpg.connect(postgres.url)
    backend = psutil.Process(connection.get_server_pid())
    await asyncio.to_thread(postgres.freeze)
    assert backend.pid in postgres.pids()
    assert all(stands_still(psutil.Process(pid)) for pid in postgres.pids())
    await asyncio.to_thread(postgres.thaw)
    assert await connection.fetchval("select 1") == 1
    await asyncio.to_thread(postgres.freeze, [backend.pid])
    assert stands_still(backend)
    other = await asyncpg.connect(postgres.url)
    assert await other.fetchval("select 1") == 1
    await asyncio.to_thread(postgres.thaw)
    assert await connection.fetchval("select 1") == 1
    await other.close()
    await connection.close()


def test_each_start_has_a_log_of_its_own(redis_node: RedisNode) -> None:
    before = list(redis_node.logs)
    redis_node.kill()
    redis_node.start()
    assert redis_node.logs[:-1] == before
    assert all(log.stat().st_size for log in redis_node.logs)


def test_a_replica_that_lags_can_be_promoted_beside_its_primary() -> None:
    with mortal_redis(password="shared") as old, mortal_redis(password="shared") as new:
        new.follow(old.port)
        deadline = time.monotonic() + GONE_SECONDS_MAX
        while not has_all_of(new, old):
            assert time.monotonic() < deadline, "the replica does not follow"
            time.sleep(0.01)
        new.promote()
        with redis.Redis.from_url(old.url) as first, redis.Redis.from_url(new.url) as second:
            assert first.set("who", "old")
            assert second.set("who", "new")
            assert (first.get("who"), second.get("who")) == (b"old", b"new")


def test_a_frozen_server_does_not_outlive_its_killed_owner() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        owner.kill()
    assert pids
    for pid in pids:
        wait_until_gone(pid)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    def order(_port: int) -> ServerOrder:
        command = [sys.executable, "-c", "raise SystemExit('it has no reason to live')"]
        return ServerOrder("Nobody", command, tmp_path, tmp_path / "nobody.log", signal.SIGTERM)

    with pytest.raises(EmbeddedServerError, match="no reason to live"):
        Node(order, lambda _port: False)


def test_a_test_build_comes_before_the_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://somebody-elses")
    build = tmp_path / "guerdon"
    build.mkdir()
    (build / "__init__.py").touch()
    environment = guerdon_environment({"GUERDON_PORT": "0"}, tmp_path)
    ask = "import guerdon, os; print(guerdon.__file__, os.environ.get('REDIS_URL'))"
    said = subprocess.check_output([sys.executable, "-c", ask], env=environment, cwd="/", text=True)
    assert said.split() == [str(build / "__init__.py"), "None"]
