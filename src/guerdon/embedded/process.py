"""Starts a server under its keeper, waits until it answers, and ends what others left behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

KEEPER = Path(__file__).with_name("keeper.py")
# Seconds until a started server must answer: crash recovery of a large cluster takes some.
START_SECONDS_MAX = 60.0
# Seconds a server may take to stop by itself before it is killed.
STOP_SECONDS_MAX = 20.0
START_ATTEMPTS_MAX = 3
POLL_SECONDS = 0.01
LOG_LINES_SHOWN = 15


class EmbeddedServerError(Exception):
    """An embedded server could not be found, started or stopped; the text says what to do."""


@dataclass(frozen=True)
class ServerOrder:
    """What to run. `user` is (uid, gid), None for the present user; `remove` goes at the end;
    `environment` is all of it, None for the present one."""

    name: str
    command: list[str]
    folder: Path
    log: Path
    stop_signal: signal.Signals
    user: tuple[int, int] | None = None
    remove: Path | None = None
    environment: Mapping[str, str] | None = None


@contextlib.contextmanager
def kept_server(
    make_order: Callable[[int], ServerOrder], is_ready: Callable[[int], bool]
) -> Iterator[int]:
    """The server runs inside the block; yields the port on 127.0.0.1 where it listens.

    Both functions take that port. Raises EmbeddedServerError when the server does not start.
    """
    port, keeper = start_on_free_port(make_order, is_ready)
    try:
        yield port
    finally:
        stop_keeper(keeper)


def start_on_free_port(
    make_order: Callable[[int], ServerOrder], is_ready: Callable[[int], bool]
) -> "tuple[int, subprocess.Popen[bytes]]":
    """Another process may take the port between its choice and its use: then with another one."""
    attempt = 1
    while True:
        port = free_port()
        try:
            return port, start_and_wait(make_order(port), partial(is_ready, port))
        except EmbeddedServerError:
            if attempt == START_ATTEMPTS_MAX:
                raise
            attempt += 1


def start_and_wait(order: ServerOrder, is_ready: Callable[[], bool]) -> "subprocess.Popen[bytes]":
    keeper = start_keeper(order)
    try:
        wait_until_ready(order, keeper, is_ready)
    except BaseException:
        stop_keeper(keeper)
        raise
    return keeper


def start_keeper(order: ServerOrder) -> "subprocess.Popen[bytes]":
    text = json.dumps(
        {
            "command": order.command,
            "folder": str(order.folder),
            "log": str(order.log),
            "user": order.user,
            "signal": int(order.stop_signal),
            "patience_seconds": STOP_SECONDS_MAX,
            "remove": str(order.remove) if order.remove else None,
        }
    )
    # Isolated and without site packages: the keeper starts in a fraction of the usual time.
    command = [sys.executable, "-I", "-S", str(KEEPER), text]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env=order.environment,
    )


def wait_until_ready(
    order: ServerOrder, keeper: "subprocess.Popen[bytes]", is_ready: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not is_ready():
        if keeper.poll() is not None:
            raise EmbeddedServerError(f"{order.name} did not start:\n{log_tail(order.log)}")
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"{order.name} did not answer within {START_SECONDS_MAX:.0f} s:\n"
                f"{log_tail(order.log)}"
            )
        time.sleep(POLL_SECONDS)


def log_tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:])


def stop_keeper(keeper: "subprocess.Popen[bytes]") -> None:
    """Closing the pipe is the order to stop; the keeper itself ends after its server."""
    if keeper.stdin:
        keeper.stdin.close()
    keeper.wait(STOP_SECONDS_MAX + 5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end_leftover(pid: int, folder: Path, stop_signal: signal.Signals) -> None:
    """Stops the process if it is the server that works in `folder`; any other is left alone.

    A pid file outlives its process, and the system gives numbers out again, so the number alone
    says nothing. A server holds its folder as working folder for all its life.
    """
    for number in (stop_signal, signal.SIGKILL):
        if not works_in(pid, folder):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while works_in(pid, folder) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    if works_in(pid, folder):
        raise EmbeddedServerError(f"the server with process id {pid} cannot be stopped")


def works_in(pid: int, folder: Path) -> bool:
    """Whether the process lives and `folder` is its working folder."""
    if Path("/proc/self/cwd").exists():
        try:
            return Path(os.readlink(f"/proc/{pid}/cwd")) == folder.resolve()
        except OSError:
            return False
    command = ["lsof", "-a", "-p", str(pid), "-d", "cwd", "-Fn"]
    listed = subprocess.run(command, capture_output=True, text=True).stdout
    return f"n{folder.resolve()}" in listed.splitlines()
