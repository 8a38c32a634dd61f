"""A real server in processes of its own, as `guerdon serve` starts it."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.02


class Server:
    """The supervisor's process; its log is JSON lines in a file."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log

    def lines(self) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    @property
    def address(self) -> str:
        return str(self._announced()["address"])

    @property
    def monitor(self) -> str:
        return str(self._announced()["monitor"])

    def _announced(self) -> dict[str, Any]:
        return next(line for line in self.lines() if "address" in line)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.monitor + path, timeout=PATIENCE_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def workers(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = json.loads(self.get("/readyz")[1])["workers"]
        return found

    def metric(self, name: str) -> float | None:
        match = re.search(rf"^{re.escape(name)} ([0-9.e+-]+)$", self.get("/metrics")[1], re.M)
        return float(match[1]) if match else None

    async def until(
        self, holds: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Waits for something that another process does; fails with the log when it does not."""
        deadline = time.monotonic() + seconds
        while not await asyncio.to_thread(holds):
            text = self.log.read_text()
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{text}"
            await asyncio.sleep(POLL_SECONDS)

    async def until_serving(self) -> None:
        def announced() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return any("address" in line for line in self.lines())

        await self.until(announced, "the server serves")

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()


def environment(database_url: str, **more: str) -> dict[str, str]:
    """Settings of a server for tests: free ports, nothing of the machine's own."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GUERDON_", "OTEL_", "PROMETHEUS_", "DATABASE_", "REDIS_"))
    }
    return inherited | {
        "DATABASE_URL": database_url,
        "GUERDON_API_KEY_PEPPER": secrets.token_hex(32),
        "GUERDON_ENVIRONMENT": "development",
        "GUERDON_LOG_FORMAT": "json",
        "GUERDON_PORT": "0",
        "GUERDON_MONITOR_PORT": "0",
        **more,
    }


@contextlib.asynccontextmanager
async def started(folder: Path, env: dict[str, str], *arguments: str) -> AsyncIterator[Server]:
    """`guerdon serve` with these settings; killed at the end if it still runs."""
    log = folder / f"serve-{secrets.token_hex(4)}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: ASYNC220  # It returns at once.
            [sys.executable, "-m", "guerdon", "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=env,
        )
    server = Server(process, log)
    try:
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def serving(folder: Path, env: dict[str, str], *arguments: str) -> AsyncIterator[Server]:
    """The same, and every worker serves."""
    async with started(folder, env, *arguments) as server:
        await server.until_serving()
        yield server
