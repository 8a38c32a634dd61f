"""`guerdon dev`: from nothing to a Redeem, again after a kill, and nothing left behind."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from guerdon.serving.messages import ExitCode
from tests.process.servers import PATIENCE_SECONDS, POLL_SECONDS, environment

START_SECONDS_MAX = 60.0


@pytest.fixture
def home() -> Iterator[Path]:
    """A state folder that the servers' user can enter, as pytest's own folders are not."""
    with tempfile.TemporaryDirectory(prefix="guerdon-dev-test-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


class Dev:
    """A `guerdon dev`, whose words are in a file."""

    def __init__(self, process: "subprocess.Popen[bytes]", said: Path) -> None:
        self.process = process
        self._said = said

    def said(self) -> str:
        return self._said.read_text()

    async def until_serving(self) -> str:
        async with asyncio.timeout(START_SECONDS_MAX):
            while "call --list" not in self.said():
                assert self.process.poll() is None, self.said()
                await asyncio.sleep(POLL_SECONDS)
        return self.said()

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)


def bare_environment(home: Path) -> dict[str, str]:
    """Free ports and a state folder; everything else `guerdon dev` finds or makes by itself."""
    env = environment("", GUERDON_HOME=str(home))
    del env["GUERDON_API_KEY_PEPPER"]
    return env


@contextlib.asynccontextmanager
async def dev(home: Path) -> AsyncIterator[Dev]:
    said = home / "said.txt"
    with said.open("wb") as stream:
        process = subprocess.Popen(  # noqa: ASYNC220  # It returns at once.
            [sys.executable, "-m", "guerdon", "dev"],
            env=bare_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        yield Dev(process, said)
    finally:
        left = (
            psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        )
        process.kill()
        process.wait()
        # Its servers end by themselves, and write to the folder until they do.
        psutil.wait_procs(left, timeout=PATIENCE_SECONDS)


async def run(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "guerdon", *arguments],
        env=bare_environment(home),
        capture_output=True,
        text=True,
    )


def sample_call(said: str) -> list[str]:
    line = next(line for line in said.splitlines() if "call Redeem" in line)
    return shlex.split(line.partition(" call ")[2])


async def test_the_printed_line_redeems_and_nothing_is_left_after_ctrl_c(home: Path) -> None:
    async with dev(home) as first:
        said = await first.until_serving()
        assert re.search(r"gdn_[0-9a-f]{32}_[0-9a-f]{16}_[A-Za-z0-9_-]{43}\b", said)
        result = await run(home, "call", *sample_call(said), "--timeout", "20")
        assert result.returncode == 0, result.stderr
        assert '"paidMinor": "45000"' in result.stdout

        second = await run(home, "dev")
        assert second.returncode == ExitCode.CONFIGURATION
        assert f"already running here (process {first.process.pid})" in second.stderr

        children = psutil.Process(first.process.pid).children(recursive=True)
        assert len(children) >= 4
        assert await first.end(signal.SIGINT) == 0
        assert psutil.wait_procs(children, timeout=PATIENCE_SECONDS)[1] == []


async def test_a_killed_one_starts_again_with_the_same_key_and_data(home: Path) -> None:
    async with dev(home) as first:
        said = await first.until_serving()
        key = re.search(r"gdn_\S+", said)
        assert key is not None
        redeemed = await run(home, "call", *sample_call(said), "--timeout", "20")
        assert redeemed.returncode == 0, redeemed.stderr
        children = psutil.Process(first.process.pid).children(recursive=True)
        await first.end(signal.SIGKILL)
    async with dev(home) as again:
        said = await again.until_serving()
        assert "gdn_" not in said
        result = await run(home, "call", *sample_call(said), "--timeout", "20")
        assert result.returncode == 0, result.stderr
        assert '"customerUse": 2' in result.stdout
        assert psutil.wait_procs(children, timeout=PATIENCE_SECONDS)[1] == []
        made = await run(home, "keys", "create", "--days", "1")
        assert made.returncode == 0, made.stderr
        assert made.stdout.startswith("gdn_")
        assert made.stdout.strip() != key[0]


async def test_what_is_kept_can_be_read_by_its_owner_alone(home: Path) -> None:
    async with dev(home) as server:
        await server.until_serving()
        for name in ("pepper", "demo.json", "servers.json"):
            mode = stat.S_IMODE(os.stat(home / name).st_mode)
            assert mode == 0o600, name
        await server.end(signal.SIGTERM)
