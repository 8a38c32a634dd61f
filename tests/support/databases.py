"""A fresh database for each test, cloned from one that has all migrations.

All databases of a run share a prefix. The run holds an advisory lock on that prefix, so the next
run on the same server tells what a killed one left behind, and drops it.
"""

import contextlib
import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from guerdon.adapters.postgres.migrate import migrate_up

PREFIX = "guerdon_test_"


class DatabaseFactory:
    """Clones databases from the template of this run. `server_url` may create databases."""

    def __init__(self, server_url: str, connection: asyncpg.Connection, run: str) -> None:
        self.server_url = server_url
        self.connection = connection
        self.run = run
        self.template = f"{run}_template"
        self.made = 0

    async def make_empty(self) -> str:
        """The name of a new database without migrations."""
        name = self._next_name()
        await self.connection.execute(f"create database {name} template template0 encoding 'UTF8'")
        return name

    async def clone(self) -> str:
        """The name of a new database with all migrations; copying files was the quicker way."""
        name = self._next_name()
        await self.connection.execute(
            f"create database {name} template {self.template} strategy file_copy"
        )
        return name

    async def drop(self, name: str) -> None:
        await self.connection.execute(f"drop database if exists {name} with (force)")

    def url(self, name: str) -> str:
        return database_url(self.server_url, name)

    def _next_name(self) -> str:
        self.made += 1
        return f"{self.run}_{self.made}"


@contextlib.asynccontextmanager
async def database_factory(server_url: str) -> AsyncIterator[DatabaseFactory]:
    connection = await asyncpg.connect(server_url)
    try:
        await drop_leftovers(connection)
        factory = DatabaseFactory(server_url, connection, f"{PREFIX}{secrets.token_hex(4)}")
        await try_lock(connection, factory.run)
        await make_template(factory)
        try:
            yield factory
        finally:
            for name in await names_of(connection, factory.run):
                await factory.drop(name)
    finally:
        await connection.close()


async def make_template(factory: DatabaseFactory) -> None:
    await factory.connection.execute(
        f"create database {factory.template} template template0 encoding 'UTF8'"
    )
    await migrate_up(factory.url(factory.template))


async def drop_leftovers(connection: asyncpg.Connection) -> None:
    names = await names_of(connection, PREFIX)
    for run in {name[: len(PREFIX) + 8] for name in names}:
        if await try_lock(connection, run):
            for name in names:
                if name.startswith(run):
                    await connection.execute(f"drop database if exists {name} with (force)")


async def try_lock(connection: asyncpg.Connection, run: str) -> bool:
    locked: bool = await connection.fetchval("select pg_try_advisory_lock(hashtext($1))", run)
    return locked


async def names_of(connection: asyncpg.Connection, prefix: str) -> list[str]:
    query = "select datname from pg_database where starts_with(datname, $1)"
    return [row["datname"] for row in await connection.fetch(query, prefix)]


def database_url(server_url: str, name: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
