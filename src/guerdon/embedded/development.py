"""The servers of `guerdon dev`: their data stays in the state folder from one start to the next."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from guerdon.embedded import places
from guerdon.embedded.postgres import kept_postgres
from guerdon.embedded.process import EmbeddedServerError
from guerdon.embedded.valkey import kept_valkey

LOCK_FILE = "owner"
URLS_FILE = "servers.json"


class Servers(msgspec.Struct, frozen=True):
    """Where the two servers are; each is the embedded one unless its URL was given."""

    database_url: str
    redis_url: str


@contextlib.contextmanager
def development_servers(
    database_url: str | None = None, redis_url: str | None = None
) -> Iterator[Servers]:
    """Starts whichever URL is not given. Raises EmbeddedServerError, also when this checkout's
    servers belong to another process that is still alive."""
    if database_url and redis_url:
        yield Servers(database_url, redis_url)
        return
    folder = places.state_folder()
    with only_owner(folder), contextlib.ExitStack() as stack:
        servers = Servers(
            database_url or stack.enter_context(kept_postgres(folder)),
            redis_url or stack.enter_context(kept_valkey(folder)),
        )
        with announced(folder, servers):
            yield servers


def running_servers() -> Servers | None:
    """The servers of a `guerdon dev` that runs now in this checkout; None when none does."""
    folder = places.state_folder()
    try:
        with open(folder / LOCK_FILE, "a") as lock:
            if try_lock(lock):
                return None
        return msgspec.json.decode((folder / URLS_FILE).read_bytes(), type=Servers)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def only_owner(folder: Path) -> Iterator[None]:
    """The system ends the lock with its process, so no crash leaves one behind."""
    with open(folder / LOCK_FILE, "a") as lock:
        if not try_lock(lock):
            raise EmbeddedServerError(
                f"the embedded servers in {folder} already belong to a running process: stop it, "
                f"or set {places.HOME_VARIABLE} to another folder for this one."
            )
        yield


def try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def announced(folder: Path, servers: Servers) -> Iterator[None]:
    """The URLs hold passwords: only the present user can read the file."""
    file = folder / URLS_FILE
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
        new.write(msgspec.json.encode(servers))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
