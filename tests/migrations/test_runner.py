"""The runner's promises, kept on small migrations of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from guerdon.adapters.postgres.migrate import migrate_down, migrate_up, read_standing
from guerdon.adapters.postgres.migration_files import MigrationError
from tests.support.databases import DatabaseFactory

FIRST = """-- migrate:up
create schema guerdon;
create table guerdon.colours (name text);
-- migrate:down
drop table guerdon.colours;
drop schema guerdon;
"""
SECOND = """-- migrate:up
create table guerdon.shapes (name text);
-- migrate:down
drop table guerdon.shapes;
"""
FUNCTION = """create or replace function guerdon.count_colours_v1() returns setof guerdon.colours
language sql return null::guerdon.colours;
"""


@pytest.fixture
async def empty_url(databases: DatabaseFactory) -> AsyncIterator[str]:
    name = await databases.make_empty()
    yield databases.url(name)
    await databases.drop(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "functions").mkdir()
    (tmp_path / "0001_colours.sql").write_text(FIRST)
    (tmp_path / "0002_shapes.sql").write_text(SECOND)
    (tmp_path / "functions" / "count_colours_v1.sql").write_text(FUNCTION)
    return tmp_path


async def query(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_up_applies_everything_in_order_and_only_once(empty_url: str, folder: Path) -> None:
    names = ["0001_colours.sql", "0002_shapes.sql", "functions/count_colours_v1.sql"]
    assert await migrate_up(empty_url, folder) == names
    assert await migrate_up(empty_url, folder) == []
    assert (await read_standing(empty_url, folder)).is_current


async def test_down_takes_back_one_step_and_the_functions(empty_url: str, folder: Path) -> None:
    await migrate_up(empty_url, folder)
    assert await migrate_down(empty_url, folder) == ["0002_shapes.sql"]
    assert await query(empty_url, "select to_regclass('guerdon.shapes')") is None
    assert await query(empty_url, "select to_regproc('guerdon.count_colours_v1')") is None
    assert await migrate_up(empty_url, folder) == [
        "0002_shapes.sql",
        "functions/count_colours_v1.sql",
    ]


async def test_down_of_everything_leaves_no_schema(empty_url: str, folder: Path) -> None:
    await migrate_up(empty_url, folder)
    assert len(await migrate_down(empty_url, folder, steps=None)) == 2
    assert await query(empty_url, "select to_regnamespace('guerdon')") is None


async def test_a_changed_applied_migration_is_refused(empty_url: str, folder: Path) -> None:
    await migrate_up(empty_url, folder)
    (folder / "0001_colours.sql").write_text(FIRST + "\n")
    with pytest.raises(MigrationError, match=r"0001_colours\.sql was changed after it was applied"):
        await migrate_up(empty_url, folder)


async def test_a_migration_of_a_newer_release_is_refused(empty_url: str, folder: Path) -> None:
    await migrate_up(empty_url, folder)
    (folder / "0002_shapes.sql").unlink()
    with pytest.raises(MigrationError, match="which this release does not know"):
        await migrate_up(empty_url, folder)


async def test_a_migration_numbered_before_an_applied_one_is_refused(
    empty_url: str, folder: Path
) -> None:
    (folder / "0002_shapes.sql").rename(folder / "0003_shapes.sql")
    await migrate_up(empty_url, folder)
    (folder / "0002_late.sql").write_text(SECOND)
    with pytest.raises(MigrationError, match=r"0002_late\.sql comes before 0003_shapes\.sql"):
        await migrate_up(empty_url, folder)


async def test_a_changed_function_is_applied_anew(empty_url: str, folder: Path) -> None:
    await migrate_up(empty_url, folder)
    changed = FUNCTION.replace("null", "row('red')")
    (folder / "functions" / "count_colours_v1.sql").write_text(changed)
    assert await migrate_up(empty_url, folder) == ["functions/count_colours_v1.sql"]
    assert await query(empty_url, "select name from guerdon.count_colours_v1()") == "red"


async def test_a_migration_that_fails_leaves_nothing_of_itself(
    empty_url: str, folder: Path
) -> None:
    broken = SECOND.replace("(name text)", "(name text); select 1/0")
    (folder / "0002_shapes.sql").write_text(broken)
    with pytest.raises(MigrationError, match=r"0002_shapes\.sql: division by zero"):
        await migrate_up(empty_url, folder)
    assert await query(empty_url, "select to_regclass('guerdon.shapes')") is None
    assert (await read_standing(empty_url, folder)).pending == ["0002_shapes.sql"]


async def test_a_migration_may_say_that_it_needs_no_transaction(
    empty_url: str, folder: Path
) -> None:
    index = "create index concurrently if not exists colours_name on guerdon.colours (name);"
    (folder / "0003_index.sql").write_text(
        f"-- migrate:up transaction:false\n{index}\n-- migrate:down\n"
        "drop index guerdon.colours_name;\n"
    )
    await migrate_up(empty_url, folder)
    assert await query(empty_url, "select to_regclass('guerdon.colours_name')::text")


async def test_a_second_runner_waits_for_the_first(empty_url: str, folder: Path) -> None:
    both = await asyncio.gather(migrate_up(empty_url, folder), migrate_up(empty_url, folder))
    assert sorted(len(names) for names in both) == [0, 3]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("0003_nothing.sql", "select 1;", "needs `-- migrate:up`"),
        ("0003_upside_down.sql", "-- migrate:down\n-- migrate:up\n", "needs `-- migrate:up`"),
        ("3_short.sql", SECOND, "is not named NNNN_what_it_does"),
        ("0002_twin.sql", SECOND, "two migrations have the number 0002"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_before_anything_is_applied(
    empty_url: str, folder: Path, name: str, text: str, message: str
) -> None:
    (folder / name).write_text(text)
    with pytest.raises(MigrationError, match=message):
        await migrate_up(empty_url, folder)
    assert await query(empty_url, "select to_regnamespace('guerdon')") is None
