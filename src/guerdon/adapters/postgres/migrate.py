"""Brings a database's schema up, down, or says where it stands.

Its books are kept in schema `guerdon_migrations`, outside what it migrates. One runner works at a
time: others wait for an advisory lock, so the connection must be a direct one, not a pooler's.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

import asyncpg
import msgspec

from guerdon.adapters.postgres.migration_files import (
    FunctionFile,
    Migration,
    MigrationError,
    default_folder,
    read_functions,
    read_migrations,
)

# Arbitrary, and the same in every release: it is what two runners meet at.
ADVISORY_LOCK = 0x67756572646F6E
# Seconds to wait for another runner, which may be building an index.
RUNNER_WAIT_SECONDS = 600
# Seconds a migration may wait for a lock: while it waits, everyone behind it waits as well.
LOCK_WAIT_SECONDS = 5
# Seconds one statement of a migration may take; a longer one belongs into a background job.
STATEMENT_SECONDS_MAX = 600

BOOKS = """
create schema if not exists guerdon_migrations;
create table if not exists guerdon_migrations.applied (
  version text constraint applied_pkey primary key,
  name text not null,
  sha256 text not null,
  applied_at timestamptz not null default clock_timestamp()
);
create table if not exists guerdon_migrations.functions (
  name text constraint functions_pkey primary key,
  sha256 text not null,
  applied_at timestamptz not null default clock_timestamp()
);
"""

# Functions belong to the newest schema and may name anything in it, so that no step down could pass
# them; the next way up brings them back.
DROP_FUNCTIONS = """
do $$
declare
  v_routine text;
begin
  for v_routine in
    select r.oid::regprocedure::text from pg_proc r
    where r.pronamespace = to_regnamespace('guerdon')
  loop
    execute 'drop routine ' || v_routine;
  end loop;
end
$$
"""


class Applied(msgspec.Struct, frozen=True):
    """One migration as the books have it."""

    version: str
    name: str
    sha256: str
    applied_at: datetime


class Standing(msgspec.Struct, frozen=True):
    """Where a database stands: names of files, in order."""

    applied: list[Applied]
    pending: list[str]
    functions_pending: list[str]

    @property
    def is_current(self) -> bool:
        return not self.pending and not self.functions_pending


async def migrate_up(database_url: str, folder: Path | None = None) -> list[str]:
    """Applies what is pending; the names of the files applied. Raises MigrationError."""
    async with only_runner(database_url) as connection:
        plan = await read_plan(connection, folder or default_folder())
        for migration in plan.pending:
            await apply_up(connection, migration)
        await apply_functions(connection, plan.functions_pending)
        functions = [f"functions/{file.name}" for file in plan.functions_pending]
        return [migration.name for migration in plan.pending] + functions


async def migrate_down(
    database_url: str, folder: Path | None = None, *, steps: int | None = 1
) -> list[str]:
    """Takes the newest `steps` migrations back, None: all; their names. Raises MigrationError."""
    async with only_runner(database_url) as connection:
        plan = await read_plan(connection, folder or default_folder())
        newest_first = plan.applied[::-1][:steps]
        for migration in newest_first:
            await apply_down(connection, migration)
        return [migration.name for migration in newest_first]


async def read_standing(database_url: str, folder: Path | None = None) -> Standing:
    """Changes nothing but the books' own tables. Raises MigrationError."""
    async with only_runner(database_url) as connection:
        plan = await read_plan(connection, folder or default_folder())
        return Standing(
            applied=await read_applied(connection),
            pending=[migration.name for migration in plan.pending],
            functions_pending=[file.name for file in plan.functions_pending],
        )


@contextlib.asynccontextmanager
async def only_runner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await asyncpg.connect(database_url)
    except (OSError, asyncpg.PostgresError) as error:
        raise MigrationError(f"the database cannot be reached: {error}") from error
    try:
        await connection.execute(f"set lock_timeout = '{RUNNER_WAIT_SECONDS}s'")
        await connection.execute(f"select pg_advisory_lock({ADVISORY_LOCK})")
        await connection.execute(f"set lock_timeout = '{LOCK_WAIT_SECONDS}s'")
        await connection.execute(f"set statement_timeout = '{STATEMENT_SECONDS_MAX}s'")
        await connection.execute("set client_min_messages = warning")
        await connection.execute(BOOKS)
        yield connection
    finally:
        # The lock ends with its session.
        await connection.close()


class Plan(msgspec.Struct, frozen=True):
    """The files of a folder, against the books of one database."""

    applied: list[Migration]
    pending: list[Migration]
    functions_pending: list[FunctionFile]


async def read_plan(connection: asyncpg.Connection, folder: Path) -> Plan:
    applied = await read_applied(connection)
    migrations = read_migrations(folder)
    refuse_disagreement(applied, migrations)
    rows = await connection.fetch("select name, sha256 from guerdon_migrations.functions")
    known = {row["name"]: row["sha256"] for row in rows}
    return Plan(
        applied=migrations[: len(applied)],
        pending=migrations[len(applied) :],
        functions_pending=[
            file for file in read_functions(folder) if known.get(file.name) != file.sha256
        ],
    )


async def read_applied(connection: asyncpg.Connection) -> list[Applied]:
    rows = await connection.fetch(
        "select version, name, sha256, applied_at from guerdon_migrations.applied order by version"
    )
    return [Applied(**dict(row)) for row in rows]


def refuse_disagreement(applied: Sequence[Applied], migrations: Sequence[Migration]) -> None:
    """What is applied must be the beginning of what there is, byte for byte."""
    files = {migration.version: migration for migration in migrations}
    for entry in applied:
        file = files.get(entry.version)
        if file is None:
            raise MigrationError(
                f"the database has {entry.name}, which this release does not know: a newer "
                "release migrated it."
            )
        if file.sha256 != entry.sha256:
            raise MigrationError(
                f"{file.name} was changed after it was applied on {entry.applied_at:%Y-%m-%d}: "
                "put it back as it was and write a new migration for the change."
            )
    for entry, file in zip(applied, migrations, strict=False):
        if entry.version != file.version:
            raise MigrationError(
                f"{file.name} comes before {entry.name}, which is applied already: give it a "
                "number after the newest."
            )


async def apply_up(connection: asyncpg.Connection, migration: Migration) -> None:
    async with named_errors(migration.name), transaction(connection, migration):
        await connection.execute(migration.up)
        await connection.execute(
            "insert into guerdon_migrations.applied (version, name, sha256) values ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.sha256,
        )


async def apply_down(connection: asyncpg.Connection, migration: Migration) -> None:
    async with named_errors(migration.name), transaction(connection, migration):
        await connection.execute(DROP_FUNCTIONS)
        await connection.execute("delete from guerdon_migrations.functions")
        await connection.execute(migration.down)
        await connection.execute(
            "delete from guerdon_migrations.applied where version = $1", migration.version
        )


async def apply_functions(connection: asyncpg.Connection, files: Sequence[FunctionFile]) -> None:
    """All or none: a server never meets a mixture of two releases."""
    async with connection.transaction():
        for file in files:
            async with named_errors(f"functions/{file.name}"):
                await connection.execute(file.sql)
                await connection.execute(
                    "insert into guerdon_migrations.functions (name, sha256) values ($1, $2) "
                    "on conflict (name) do update set "
                    "sha256 = excluded.sha256, applied_at = excluded.applied_at",
                    file.name,
                    file.sha256,
                )


@contextlib.asynccontextmanager
async def transaction(connection: asyncpg.Connection, migration: Migration) -> AsyncIterator[None]:
    if not migration.in_transaction:
        yield
        return
    async with connection.transaction():
        yield


@contextlib.asynccontextmanager
async def named_errors(file_name: str) -> AsyncIterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        detail = f" ({error.detail})" if error.detail else ""
        raise MigrationError(f"{file_name}: {error}{detail}") from error
