"""Servers of a run's own: databases, Guerdon and its rivals. They end with this process, however
it ends."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec

from guerdon.cli.state import ACCESS_FILE, DemoAccess
from guerdon.embedded import temporary_postgres, temporary_valkey
from guerdon.embedded.places import HOME_VARIABLE
from guerdon.embedded.process import ServerOrder, kept_server
from guerdon.embedded.temporary import temporary_folder
from loadtests import ROOT

DATABASE_PREFIX = "guerdon_load_"


class Access(msgspec.Struct, frozen=True):
    """How to reach a Guerdon server: by its API, and for the audit by its database."""

    address: str
    api_key: str
    database_url: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@contextlib.contextmanager
def own_databases() -> Iterator[tuple[str, str]]:
    """URLs of a new, empty Postgres database and of a Redis: on the servers that DATABASE_URL and
    REDIS_URL name, else on temporary ones that flush commits as production does."""
    with contextlib.ExitStack() as stack:
        given = os.environ.get("DATABASE_URL")
        database = own_database(given) if given else temporary_postgres()
        database_url = stack.enter_context(database)
        redis_url = os.environ.get("REDIS_URL") or stack.enter_context(temporary_valkey())
        yield database_url, redis_url


@contextlib.contextmanager
def own_database(server_url: str) -> Iterator[str]:
    """A database that is dropped in the end; the login must be allowed to make one."""
    name = f"{DATABASE_PREFIX}{secrets.token_hex(4)}"
    asyncio.run(execute(server_url, f"create database {name} template template0 encoding 'UTF8'"))
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        asyncio.run(execute(server_url, f"drop database if exists {name} with (force)"))


async def execute(url: str, statement: str) -> None:
    """One statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextlib.contextmanager
def own_guerdon(database_url: str, redis_url: str, workers: int) -> Iterator[Access]:
    """`guerdon dev` with a throwaway state folder: it migrates, and makes a demo tenant and key."""
    with temporary_folder() as folder:
        access_file = folder / ACCESS_FILE
        # Secrets on a command line could be read by everybody.
        environment = os.environ | {
            HOME_VARIABLE: str(folder),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
        }

        def order(port: int) -> ServerOrder:
            options = ["--workers", str(workers), "--port", str(port), "--monitor-port", "0"]
            command = [sys.executable, "-m", "guerdon", "dev", *options]
            log = folder / "guerdon.log"
            return ServerOrder(
                "Guerdon", command, folder, log, signal.SIGTERM, environment=environment
            )

        def is_serving(port: int) -> bool:
            access = read_access(access_file)
            return access is not None and access.address.endswith(f":{port}")

        with kept_server(order, is_serving):
            access = read_access(access_file)
            assert access is not None, "it was there when the server was ready"
            yield Access(access.address, access.api_key, database_url)


def read_access(file: Path) -> DemoAccess | None:
    """None before the server has written it."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=DemoAccess)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def own_rival(name: str, workers: int, variables: Mapping[str, str]) -> Iterator[int]:
    """One of loadtests.bench.rivals, all of its workers serving; yields the port on 127.0.0.1."""
    with temporary_folder() as folder:

        def order(port: int) -> ServerOrder:
            options = ["--port", str(port), "--workers", str(workers), "--folder", str(folder)]
            command = [sys.executable, "-m", "loadtests.bench.rivals", name, *options]
            log, environment = folder / "rival.log", os.environ | variables
            return ServerOrder(name, command, ROOT, log, signal.SIGTERM, environment=environment)

        def is_serving(_port: int) -> bool:
            return all((folder / f"serving-{number}").exists() for number in range(workers))

        with kept_server(order, is_serving) as port:
            yield port
