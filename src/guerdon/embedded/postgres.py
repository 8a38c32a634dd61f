"""A Postgres cluster of its own: made, started, and ended with the block that asked for it.

It listens on 127.0.0.1 only (a socket's path would often be longer than the 107 bytes allowed)
and asks for a random password. Commits are flushed as in production; only a temporary cluster
may say otherwise.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from guerdon.embedded import places
from guerdon.embedded.binaries import PostgresBinaries, find_postgres
from guerdon.embedded.process import EmbeddedServerError, ServerOrder, end_leftover, kept_server
from guerdon.embedded.temporary import read_pid, temporary_folder

SUPERUSER = "postgres"
# The servers' pools, the tests' clients and a person with psql, with room to spare.
CONNECTIONS_MAX = 200
PASSWORD_FILE = "postgres-password"


@contextlib.contextmanager
def temporary_postgres(*, fsync: bool = True) -> Iterator[str]:
    """A cluster that is gone with the block, or with this process however it ends; yields its URL.

    Without `fsync` commits are not flushed to the disk: for tests only that say why they may.
    """
    with temporary_folder() as folder, kept_postgres(folder, fsync=fsync, remove=True) as url:
        yield url


@contextlib.contextmanager
def kept_postgres(folder: Path, *, fsync: bool = True, remove: bool = False) -> Iterator[str]:
    """Yields the URL of the superuser's database. `folder` keeps one cluster for each major.

    What an earlier owner left running there is ended first. With `remove` the folder goes when
    this process does, and the server is told to drop everything rather than to stop in order.
    """
    binaries = find_postgres()
    # A new major cannot read an old one's files, so the name says whose they are.
    data = folder / f"postgres-{binaries.major}"
    if leftover := read_pid(data / "postmaster.pid"):
        end_leftover(leftover, data, signal.SIGINT)
    password = own_password(folder, make_new=not data.exists())
    if not data.exists():
        make_cluster(binaries, data, password)

    def order(port: int) -> ServerOrder:
        return ServerOrder(
            name="Postgres",
            command=server_command(binaries, data, port, fsync=fsync),
            folder=data,
            log=folder / f"postgres-{binaries.major}.log",
            stop_signal=signal.SIGQUIT if remove else signal.SIGINT,
            user=places.postgres_user(),
            remove=folder if remove else None,
        )

    with kept_server(order, lambda port: is_ready(data, port)) as port:
        # Without sslmode asyncpg would look for certificates in the user's home.
        yield f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres?sslmode=disable"


def own_password(folder: Path, *, make_new: bool) -> str:
    """The cluster's password; only the present user can read its file."""
    file = folder / PASSWORD_FILE
    if make_new:
        file.unlink(missing_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_hex(16))
    return file.read_text()


def make_cluster(binaries: PostgresBinaries, data: Path, password: str) -> None:
    """It appears under its name only when it is whole; an interrupted one is made again."""
    making = data.with_name(f"{data.name}.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    password_file = data.with_name(f"{data.name}.password")
    password_file.write_text("")
    password_file.chmod(0o600)
    password_file.write_text(password)
    user = places.postgres_user()
    if user:
        os.chown(making, *user)
        os.chown(password_file, *user)
    try:
        run_initdb(binaries, making, password_file, user)
    finally:
        password_file.unlink()
    making.rename(data)


def run_initdb(
    binaries: PostgresBinaries, data: Path, password_file: Path, user: tuple[int, int] | None
) -> None:
    command = [str(binaries.folder / "initdb"), f"--pgdata={data}", f"--username={SUPERUSER}"]
    # The locale C is on every machine; text is compared by code point everywhere alike.
    command += ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"]
    command += [f"--pwfile={password_file}", "--no-instructions"]
    result = subprocess.run(
        command,
        cwd=data,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=user[0] if user else None,
        group=user[1] if user else None,
        extra_groups=[] if user else None,
    )
    if result.returncode != 0:
        raise EmbeddedServerError(f"initdb failed:\n{result.stdout}")


def server_command(binaries: PostgresBinaries, data: Path, port: int, *, fsync: bool) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": CONNECTIONS_MAX,
        "fsync": "on" if fsync else "off",
        "synchronous_commit": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "off",
        "log_destination": "stderr",
    }
    options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
    return [str(binaries.folder / "postgres"), "-D", str(data), *options]


def is_ready(data: Path, port: int) -> bool:
    """The last line of postmaster.pid says so once connections are accepted."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[3].strip() == str(port) and lines[7].strip() == "ready"
