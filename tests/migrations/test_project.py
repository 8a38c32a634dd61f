"""The project's own migrations."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from guerdon.adapters.postgres.migrate import migrate_down, migrate_up, read_standing
from guerdon.embedded.binaries import find_postgres
from tests.support.databases import DatabaseFactory
from tools import gen_schema

# Every object of the schema with its definition, so that two schemas can be compared on any major.
OBJECTS = """
select format('%s.%s %s %s', table_name, column_name, data_type, column_default) as object
from information_schema.columns where table_schema = 'guerdon'
union all select indexdef from pg_indexes where schemaname = 'guerdon'
union all select pg_get_constraintdef(oid) from pg_constraint
  where connamespace = 'guerdon'::regnamespace
union all select format('%s %s %s', tablename, policyname, qual) from pg_policies
  where schemaname = 'guerdon'
union all select pg_get_functiondef(oid) from pg_proc
  where pronamespace = 'guerdon'::regnamespace and prokind in ('f', 'p')
order by object
"""


@pytest.fixture
async def empty_url(databases: DatabaseFactory) -> AsyncIterator[str]:
    name = await databases.make_empty()
    yield databases.url(name)
    await databases.drop(name)


async def objects(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [row["object"] for row in await connection.fetch(OBJECTS)]
    finally:
        await connection.close()


async def test_up_down_up_gives_the_same_schema(empty_url: str) -> None:
    await migrate_up(empty_url)
    first = await objects(empty_url)
    down = await migrate_down(empty_url, steps=None)
    assert len(down) == len((await read_standing(empty_url)).pending)
    await migrate_up(empty_url)
    assert len(first) > 100
    assert await objects(empty_url) == first


async def test_every_step_down_can_be_taken_up_again(empty_url: str) -> None:
    await migrate_up(empty_url)
    first = await objects(empty_url)
    for steps in range(1, len((await read_standing(empty_url)).applied) + 1):
        await migrate_down(empty_url, steps=steps)
        await migrate_up(empty_url)
        assert await objects(empty_url) == first


@pytest.mark.skipif(
    find_postgres().major != gen_schema.POSTGRES_MAJOR,
    reason="pg_dump of another major writes the same schema differently",
)
def test_schema_sql_is_what_the_migrations_give() -> None:
    assert gen_schema.differences() == []
