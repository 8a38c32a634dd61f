"""A Redis-compatible server of its own, without persistence: it is a hint, never the truth."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from guerdon.embedded.binaries import find_valkey
from guerdon.embedded.process import ServerOrder, end_leftover, kept_server
from guerdon.embedded.temporary import read_pid, temporary_folder

PID_FILE = "valkey.pid"
# Seconds for one question to a server on the same machine.
PING_SECONDS_MAX = 1.0


@contextlib.contextmanager
def temporary_valkey() -> Iterator[str]:
    """A server that is gone with the block, or with this process however it ends."""
    with temporary_folder() as folder, kept_valkey(folder, remove=True) as url:
        yield url


@contextlib.contextmanager
def kept_valkey(folder: Path, *, remove: bool = False) -> Iterator[str]:
    """Yields the URL with a password of this start's own. A leftover in `folder` is ended first."""
    work = folder / "valkey"
    if leftover := read_pid(work / PID_FILE):
        end_leftover(leftover, work, signal.SIGTERM)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    password = secrets.token_hex(16)

    def order(port: int) -> ServerOrder:
        return ServerOrder(
            name="Valkey",
            command=[str(find_valkey()), str(write_configuration(work, port, password))],
            folder=work,
            log=folder / "valkey.log",
            stop_signal=signal.SIGTERM,
            remove=folder if remove else None,
        )

    with kept_server(order, is_ready) as port:
        yield f"redis://:{password}@127.0.0.1:{port}/0"


def write_configuration(work: Path, port: int, password: str) -> Path:
    """In a file, because the command line can be read by every user of the machine."""
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": work,
        "pidfile": work / PID_FILE,
        "save": '""',
        "appendonly": "no",
        "daemonize": "no",
        # A development server shall not outgrow its machine; evicting is allowed to a hint.
        "maxmemory": "256mb",
        "maxmemory-policy": "allkeys-lru",
    }
    file = work / "valkey.conf"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as text:
        text.writelines(f"{name} {value}\n" for name, value in settings.items())
    return file


def is_ready(port: int) -> bool:
    """Any answer will do: without the password it is that a password is needed."""
    try:
        with socket.create_connection(("127.0.0.1", port), PING_SECONDS_MAX) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"-NOAUTH", b"+PONG"))
    except OSError:
        return False
