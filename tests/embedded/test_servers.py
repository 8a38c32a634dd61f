"""The embedded servers live and die with whoever asked for them, however that one ends."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from guerdon.embedded import (
    EmbeddedServerError,
    development_servers,
    running_servers,
    temporary_postgres,
    temporary_valkey,
)
from guerdon.embedded.process import end_leftover
from guerdon.embedded.temporary import remove_leftovers, temporary_folder

# Seconds in which a server whose owner was killed must be gone.
GONE_SECONDS_MAX = 20.0

# An owner that says when its servers run, and then waits until it is killed.
OWNER = """
import sys
from guerdon.embedded import development_servers, temporary_postgres, temporary_valkey
if sys.argv[1] == "development":
    with development_servers() as servers:
        print(servers.database_url, servers.redis_url, flush=True)
        sys.stdin.read()
with temporary_postgres() as database_url, temporary_valkey() as redis_url:
    print(database_url, redis_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for all state that root's servers, which run as nobody, can enter as well."""
    with tempfile.TemporaryDirectory(prefix="guerdon-home-", dir="/tmp") as name:
        Path(name).chmod(0o711)
        monkeypatch.setenv("GUERDON_HOME", name)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)


@pytest.fixture
def start_owner(home: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def start(mode: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", OWNER, mode]
        owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(owner)
        assert owner.stdout
        assert "postgresql://" in owner.stdout.readline()
        return owner

    yield start
    for owner in started:
        owner.kill()
        owner.communicate()


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def working_in(home: Path) -> list[psutil.Process]:
    """Every process whose working folder is below `home`: keepers are not, servers are."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GONE_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        os.sched_yield()


async def test_a_temporary_postgres_is_durable_and_asks_for_its_password(home: Path) -> None:
    with temporary_postgres() as url:
        connection = await asyncpg.connect(url)
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await connection.fetchval("select current_setting($1)", setting) == "on"
        assert await connection.fetchval("show listen_addresses") == "127.0.0.1"
        await connection.close()
        password = url.split(":")[2].split("@")[0]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(url.replace(password, "wrong"))
    assert is_empty(home)


def test_a_temporary_valkey_keeps_nothing_and_asks_for_its_password(home: Path) -> None:
    with temporary_valkey() as url:
        with redis.Redis.from_url(url) as client:
            assert client.config_get("save")["save"] == ""
            assert client.config_get("bind")["bind"] == "127.0.0.1"
        with (
            redis.Redis.from_url(url.replace(url.split("@")[0], "redis://")) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
    assert is_empty(home)


async def test_development_data_stays_from_one_start_to_the_next(home: Path) -> None:
    with development_servers() as servers:
        connection = await asyncpg.connect(servers.database_url)
        await connection.execute("create table kept (x integer)")
        await connection.close()
    assert working_in(home) == []
    with development_servers() as servers:
        connection = await asyncpg.connect(servers.database_url)
        assert await connection.fetchval("select count(*) from kept") == 0
        await connection.close()


def test_secrets_are_readable_by_their_user_only(home: Path) -> None:
    with development_servers() as servers:
        password = servers.database_url.split(":")[2].split("@")[0].encode()
        redis_password = servers.redis_url.split(":")[2].split("@")[0].encode()
        files = [path for path in home.rglob("*") if path.is_file()]
        secret = [
            path
            for path in files
            if any(word in path.read_bytes() for word in (password, redis_password))
        ]
        assert {path.name for path in secret} == {
            "postgres-password",
            "servers.json",
            "valkey.conf",
        }
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secret)


def test_given_servers_are_used_and_nothing_is_started(home: Path) -> None:
    with development_servers("postgresql://there", "redis://there") as servers:
        assert (servers.database_url, servers.redis_url) == ("postgresql://there", "redis://there")
    assert is_empty(home)


def test_running_servers_are_found_by_others_and_refused_a_second_owner(home: Path) -> None:
    assert running_servers() is None
    with development_servers() as servers:
        assert running_servers() == servers
        refused = pytest.raises(EmbeddedServerError, match="already belong to a running process")
        with refused, development_servers():
            pass
    assert running_servers() is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("mode", ["temporary", "development"])
def test_servers_end_when_their_owner_is_killed(
    home: Path,
    start_owner: Callable[[str], "subprocess.Popen[str]"],
    mode: str,
    number: signal.Signals,
) -> None:
    owner = start_owner(mode)
    assert len(working_in(home)) > 2
    owner.send_signal(number)
    owner.wait()
    wait_until(lambda: working_in(home) == [])


def test_a_killed_owner_of_temporary_servers_leaves_no_files(
    home: Path, start_owner: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    owner = start_owner("temporary")
    owner.kill()
    wait_until(lambda: is_empty(home))


def keepers_of(owner: "subprocess.Popen[str]") -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(owner.pid).children()
        if any("keeper.py" in word for word in child.cmdline())
    ]


def test_an_interrupt_from_the_terminal_reaches_the_owner_only(
    home: Path, start_owner: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    owner = start_owner("temporary")
    groups = {os.getpgid(keeper.pid) for keeper in keepers_of(owner)}
    assert len(groups) == 2
    assert os.getpgid(owner.pid) not in groups


async def test_orphans_of_a_killed_owner_and_keeper_are_ended_at_the_next_start(
    home: Path, start_owner: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    owner = start_owner("development")
    for keeper in keepers_of(owner):
        keeper.kill()
    owner.kill()
    owner.wait()
    orphans = working_in(home)
    assert orphans
    with development_servers() as servers:
        connection = await asyncpg.connect(servers.database_url)
        await connection.close()
        assert not set(orphans) & set(working_in(home))
    assert working_in(home) == []


def test_temporary_orphans_of_a_killed_owner_and_keeper_are_removed_at_the_next_start(
    home: Path, start_owner: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    owner = start_owner("temporary")
    for keeper in keepers_of(owner):
        keeper.kill()
    owner.kill()
    owner.wait()
    assert working_in(home)
    remove_leftovers(home)
    assert working_in(home) == []
    assert is_empty(home)


def test_temporary_servers_of_the_living_are_left_alone(
    home: Path, start_owner: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    start_owner("temporary")
    before = {process.pid for process in working_in(home)}
    remove_leftovers(home)
    assert before <= {process.pid for process in working_in(home)}


def test_a_folder_is_nobodys_leftover_while_it_is_being_made() -> None:
    def make(_: int) -> bool:
        with temporary_folder() as folder:
            return folder.exists()

    with ThreadPoolExecutor(8) as makers:
        assert all(makers.map(make, range(200)))


def test_a_process_number_given_out_again_is_no_reason_to_kill(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "60"], cwd="/")
    try:
        end_leftover(sleeper.pid, tmp_path, signal.SIGKILL)
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def unfinish_cluster(home: Path) -> None:
    made = next(home.glob("postgres-[0-9][0-9]"))
    made.rename(made.with_name(f"{made.name}.new"))


async def test_an_interrupted_making_of_a_cluster_is_made_again(home: Path) -> None:
    with development_servers():
        pass
    unfinish_cluster(home)
    with development_servers() as servers:
        connection = await asyncpg.connect(servers.database_url)
        await connection.close()
