"""One database for all situations: each brings a tenant of its own and builds the functions."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from tests.support.databases import DatabaseFactory


@pytest.fixture(scope="session")
async def stage_url(databases: DatabaseFactory) -> AsyncIterator[str]:
    name = await databases.clone()
    yield databases.url(name)
    await databases.drop(name)


@pytest.fixture(scope="session")
async def stage_owner(stage_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stage_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def stage_database(stage_url: str) -> AsyncIterator[Database]:
    pool = await Database.open(stage_url)
    yield pool
    await pool.close()
