"""A scene for the audits to judge."""

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from tests.loadtests.scene import Scene, use_up


@pytest.fixture
async def scene(database: Database, database_url: str, owner: asyncpg.Connection) -> Scene:
    return await use_up(database, database_url, owner)
