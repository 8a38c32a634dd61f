"""Directed looks at what no load brings to light: walls between tenants, and a server's health."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from uuid_utils.compat import uuid7

from guerdon.limits import WRITE_PROOF_SECONDS
from loadtests.faults.bugs.stage import CALL_SECONDS, POLL_SECONDS, Stage
from loadtests.history import CODES
from loadtests.load_plan import written_offer

ROLE = "guerdon_app"
# What the policy says to a row of another tenant; a lacking grant has other words.
REFUSAL = "row-level security policy"
TABLES_QUERY = """
    select c.relname
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
    where c.relnamespace = 'guerdon'::regnamespace and c.relkind in ('r', 'p')
      and c.relname <> 'tenant_directory'
    order by c.relname
"""
END_SESSIONS = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'guerdon' and datname = current_database()
"""
# A blip of health is not an answer: it must say no for longer than two proofs are apart.
UNWELL_SECONDS = 2.5 * WRITE_PROOF_SECONDS
UNWELL_SECONDS_MAX = 8.0


async def write_to_another_tenant(stage: Stage) -> None:
    """The servers' role, working for one tenant, offers every table a row of another one."""
    connection = await asyncpg.connect(stage.build.database_url)
    open_tables = []
    try:
        tables = [row["relname"] for row in await stage.owner.fetch(TABLES_QUERY)]
        await connection.execute(f"set role {ROLE}")
        for table in tables:
            if not await refuses_another(connection, table, stage):
                open_tables.append(f"table {table} takes a row of another tenant")
    finally:
        await connection.close()
    stage.find("tenants_are_apart", "No table takes another tenant's row.", *open_tables)


async def refuses_another(connection: asyncpg.Connection, table: str, stage: Stage) -> bool:
    """The policy is asked before any constraint, so the row needs no other column."""
    try:
        async with connection.transaction():
            tenant_id = str(stage.tenant_id)
            await connection.execute("select set_config('guerdon.tenant_id', $1, true)", tenant_id)
            await connection.execute(
                f"insert into guerdon.{table} (tenant_id) values ($1)", uuid7()
            )
    except asyncpg.InsufficientPrivilegeError as error:
        return REFUSAL in str(error)
    except asyncpg.PostgresError:
        pass
    return False


async def lose_the_right_to_write(stage: Stage) -> None:
    """The database becomes read-only, as after a failover: health must say so, and go on saying."""
    intent = stage.intent(await stage.offer(written_offer("read-only"), audited=False))
    async with read_only(stage):

        async def refused() -> bool:
            answer = (await stage.caller.redeem(intent, seconds=CALL_SECONDS)).answer
            return CODES[answer.code].name == "UNAVAILABLE"

        await stage.until(refused, "a Redeem is refused")
        is_told = await stays_unwell(stage)
    lie = [] if is_told else ["Redeem is refused, and every worker says that it can write"]
    stage.find("health", "Health says whether the server can write.", *lie)


@asynccontextmanager
async def read_only(stage: Stage) -> AsyncIterator[None]:
    """For sessions that begin from now on; those of the servers are ended."""
    name = await stage.owner.fetchval("select quote_ident(current_database())")
    await stage.owner.execute(f"alter database {name} set default_transaction_read_only = on")
    await stage.owner.execute(END_SESSIONS)
    try:
        yield
    finally:
        await stage.owner.execute(f"alter database {name} reset default_transaction_read_only")
        await stage.owner.execute(END_SESSIONS)
        await stage.until_writable()


async def stays_unwell(stage: Stage) -> bool:
    """Whether health says for UNWELL_SECONDS on end that not every worker can write."""
    deadline = time.monotonic() + UNWELL_SECONDS_MAX
    since = time.monotonic()
    while time.monotonic() < deadline:
        if await asyncio.to_thread(stage.build.is_writable):
            since = time.monotonic()
        elif time.monotonic() - since > UNWELL_SECONDS:
            return True
        await asyncio.sleep(POLL_SECONDS)
    return False
