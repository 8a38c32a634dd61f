"""Real servers for every test: one Postgres and one Valkey for each pytest-xdist worker.

They are embedded and temporary unless DATABASE_URL or REDIS_URL names others. A worker of its own
set costs half a second and lets a test kill a server without harm to the other workers.
"""

import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import redis.asyncio

from guerdon.adapters.postgres.connection import Database
from guerdon.embedded import temporary_postgres, temporary_valkey
from tests.support.databases import DatabaseFactory, database_factory
from tests.support.redis_servers import empty_logical_database


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server where the login may create databases and roles."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    with temporary_postgres() as url:
        yield url


@pytest.fixture(scope="session")
async def databases(postgres_url: str) -> AsyncIterator[DatabaseFactory]:
    """Makes further databases, for tests that need more than one or an empty one."""
    async with database_factory(postgres_url) as factory:
        yield factory


@pytest.fixture
async def database_url(databases: DatabaseFactory) -> AsyncIterator[str]:
    """A database of the test's own with all migrations; the URL is that of its owner."""
    name = await databases.clone()
    yield databases.url(name)
    await databases.drop(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database as the servers use it: a pool that works as the application role."""
    pool = await Database.open(database_url)
    yield pool
    await pool.close()


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of the test's database, whom row level security does not bind."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    """A server that is empty, or of which one logical database is ours to empty."""
    if given := os.environ.get("REDIS_URL"):
        with empty_logical_database(given) as url:
            yield url
        return
    with temporary_valkey() as url:
        yield url


@pytest.fixture
async def redis_url(redis_server_url: str) -> str:
    """The URL of a logical database that is empty when the test begins."""
    async with redis.asyncio.from_url(redis_server_url) as client:
        await client.flushdb()
    return redis_server_url
