"""A database for a whole module, where tests keep apart by tenants of their own: a fresh database
for each of a hundred cases would cost more than the cases."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from tests.support.databases import DatabaseFactory


@pytest.fixture(scope="module")
async def shared_url(databases: DatabaseFactory) -> AsyncIterator[str]:
    """The module's database with all migrations; the URL is that of its owner."""
    name = await databases.clone()
    yield databases.url(name)
    await databases.drop(name)


@pytest.fixture(scope="module")
async def shared_database(shared_url: str) -> AsyncIterator[Database]:
    """The module's database as the servers use it."""
    pool = await Database.open(shared_url)
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def shared_owner(shared_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of the module's database."""
    connection = await asyncpg.connect(shared_url)
    yield connection
    await connection.close()
