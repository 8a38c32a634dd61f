"""What must hold of a database before a server works with it, and the proof that it can write.

Refused: what would break a promise of the product (durability, isolation of tenants, a schema of
another release). Warned of: what a person should know, but a machine for development may have.
"""

import random

import asyncpg
import msgspec

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.migration_files import (
    default_folder,
    read_functions,
    read_migrations,
)
from guerdon.limits import WRITE_PROOF_SLOTS

OLDEST_VERSION = 150_000

SETTINGS_QUERY = """
select current_setting('server_version_num')::int as version,
       current_setting('synchronous_commit') as synchronous_commit,
       current_setting('fsync') as fsync,
       current_setting('full_page_writes') as full_page_writes,
       current_user::text as role,
       r.rolsuper or r.rolbypassrls as unbound,
       s.rolsuper as login_is_superuser,
       exists (select from pg_class c
               where c.relnamespace = to_regnamespace('guerdon') and c.relowner = r.oid) as owns
from pg_roles r, pg_roles s
where r.rolname = current_user and s.rolname = session_user
"""

# The one table that is read before its tenant is known.
UNGUARDED_QUERY = """
select c.relname
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
where c.relnamespace = to_regnamespace('guerdon') and c.relkind in ('r', 'p')
  and c.relname <> 'tenant_directory' and not (c.relrowsecurity and c.relforcerowsecurity)
order by c.relname
"""

APPLIED_QUERY = """
select name, sha256 from guerdon_migrations.applied
union all select name, sha256 from guerdon_migrations.functions
"""


class Findings(msgspec.Struct, frozen=True):
    """Sentences for people. With any refusal the server must not serve."""

    refusals: list[str]
    warnings: list[str]


async def check_server(database: Database) -> Findings:
    """Reads only. Raises the errors of adapters/postgres/errors.py when it cannot be asked."""
    async with database.connection() as connection:
        row = await connection.fetchrow(SETTINGS_QUERY)
        assert row is not None, "a connection always has a user"
        refusals, warnings = _judge_settings(row)
        if await connection.fetchval("select to_regclass('guerdon.tenants') is null"):
            refusals.append("The database has no schema yet: run `guerdon migrate up`.")
            return Findings(refusals, warnings)
        for table in await connection.fetch(UNGUARDED_QUERY):
            refusals.append(f"Row level security is not forced on guerdon.{table['relname']}.")
        refusals += await _isolation_problems(connection)
        refusals += await _schema_problems(connection)
    return Findings(refusals, warnings)


def _judge_settings(row: asyncpg.Record) -> tuple[list[str], list[str]]:
    refusals, warnings = [], []
    if row["version"] < OLDEST_VERSION:
        refusals.append("Postgres 15 or newer is needed.")
    if row["synchronous_commit"] == "off":
        refusals.append(
            "synchronous_commit is off, so an acknowledged redemption could be lost: set it on."
        )
    for name in ("fsync", "full_page_writes"):
        if row[name] == "off":
            warnings.append(f"{name} is off: a power failure can lose acknowledged redemptions.")
    if row["unbound"]:
        refusals.append(
            f"The role {row['role']} is not bound by row level security: "
            "set GUERDON_DATABASE_ROLE to guerdon_app."
        )
    elif row["owns"]:
        refusals.append(f"The role {row['role']} owns tables of schema guerdon: use another one.")
    elif row["login_is_superuser"]:
        warnings.append(
            "The login is a superuser; give the server one that may only be guerdon_app."
        )
    return refusals, warnings


async def _isolation_problems(connection: asyncpg.pool.PoolConnectionProxy) -> list[str]:
    """Row level security, tried: no tenant set shows nothing, a known one shows itself."""
    async with connection.transaction(readonly=True):
        await connection.execute("select set_config('guerdon.tenant_id', '', true)")
        if await connection.fetchval("select exists (select from guerdon.tenants)"):
            return ["Tenants can be seen without naming one: row level security does not work."]
        known = await connection.fetchval("select tenant_id from guerdon.tenant_directory limit 1")
        if known is None:
            return []
        await connection.execute("select set_config('guerdon.tenant_id', $1, true)", str(known))
        seen = await connection.fetch("select tenant_id from guerdon.tenants")
    if [row["tenant_id"] for row in seen] != [known]:
        return ["A tenant that exists cannot be seen by itself: row level security does not work."]
    return []


async def _schema_problems(connection: asyncpg.pool.PoolConnectionProxy) -> list[str]:
    try:
        rows = await connection.fetch(APPLIED_QUERY)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError):
        return ["The books of the migrations cannot be read: run `guerdon migrate up`."]
    applied = {row["name"]: row["sha256"] for row in rows}
    folder = default_folder()
    wanted = {file.name: file.sha256 for file in read_migrations(folder)}
    wanted |= {file.name: file.sha256 for file in read_functions(folder)}
    missing = [name for name, sha256 in wanted.items() if applied.get(name) != sha256]
    if not missing:
        return []
    return [f"The schema lacks {', '.join(missing)}: run `guerdon migrate up`."]


class WriteProof:
    """Writes one row of its own slot; see functions/prove_writable_v1.sql."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._slot = random.randrange(WRITE_PROOF_SLOTS)

    async def prove(self) -> None:
        """Raises the errors of adapters/postgres/errors.py when nothing can be written."""
        await self._database.call("select guerdon.prove_writable_v1($1)", self._slot)
