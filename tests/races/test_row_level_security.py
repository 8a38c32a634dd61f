"""Row level security over the whole catalogue of tables, and the role that it binds."""

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from tests.support.ledger import insert_offer, insert_tenant

ROLE = "guerdon_app"
# From a public name to its tenant: read before the tenant is known, and holds only the names.
READ_BEFORE_THE_TENANT_IS_KNOWN = "tenant_directory"
NOBODYS_TABLES = {"currencies", "write_proofs"}
POLICY = "(tenant_id = (NULLIF(current_setting('guerdon.tenant_id'::text, true), ''::text))::uuid)"
TABLES_QUERY = """
    select c.relname as name, c.oid, bool_or(a.attname = 'tenant_id') as has_tenant
    from pg_class c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped
    where c.relnamespace = 'guerdon'::regnamespace and c.relkind in ('r', 'p', 'm', 'v', 'f')
    group by c.relname, c.oid
"""
GUARD_QUERY = """
    select c.relkind::text in ('r', 'p') and c.relrowsecurity and c.relforcerowsecurity as forced,
      (select array_agg(row (
           p.polpermissive, p.polcmd::text, p.polroles, pg_get_expr(p.polqual, p.polrelid),
           coalesce(pg_get_expr(p.polwithcheck, p.polrelid), $2))::text)
       from pg_policy p where p.polrelid = c.oid)
      = array[row (true, '*', array[0]::oid[], $2::text, $2::text)::text] as guarded
    from pg_class c where c.oid = $1
"""
POWERS_QUERY = """
    select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin
    from pg_roles where rolname = $1
"""
OWNED_QUERY = """
    select classid::regclass::text from pg_shdepend
    where refobjid = $1::regrole and refclassid = 'pg_authid'::regclass and deptype = 'o'
"""
UNSAFE_FUNCTIONS_QUERY = """
    select proname from pg_proc
    where pronamespace = 'guerdon'::regnamespace
      and (prosecdef or has_function_privilege('public', oid, 'execute'))
"""


async def unguarded_tables(owner: asyncpg.Connection) -> set[str]:
    """Tables with a tenant_id whose rows somebody else could see or write."""
    found = set()
    for table in await owner.fetch(TABLES_QUERY):
        if table["has_tenant"]:
            guard = await owner.fetchrow(GUARD_QUERY, table["oid"], POLICY)
            assert guard is not None
            if not (guard["forced"] and guard["guarded"]):
                found.add(table["name"])
    return found


async def test_every_tenant_table_has_the_policy_forced(owner: asyncpg.Connection) -> None:
    tables = await owner.fetch(TABLES_QUERY)
    assert len(tables) > 20
    assert await unguarded_tables(owner) == {READ_BEFORE_THE_TENANT_IS_KNOWN}
    assert {table["name"] for table in tables if not table["has_tenant"]} == NOBODYS_TABLES


@pytest.mark.parametrize(
    "hole",
    [
        "alter table guerdon.redemptions disable row level security",
        "alter table guerdon.redemptions no force row level security",
        "drop policy redemptions_own on guerdon.redemptions",
        "create policy more on guerdon.redemptions using (true)",
        "alter policy redemptions_own on guerdon.redemptions with check (true)",
        "alter policy redemptions_own on guerdon.redemptions using (tenant_id is not null)",
        "create view guerdon.redemptions_seen as select * from guerdon.redemptions",
    ],
)
async def test_a_hole_is_found(owner: asyncpg.Connection, hole: str) -> None:
    await owner.execute(hole)
    assert await unguarded_tables(owner) > {READ_BEFORE_THE_TENANT_IS_KNOWN}


async def test_the_servers_role_has_no_power_of_its_own(owner: asyncpg.Connection) -> None:
    powers = await owner.fetchrow(POWERS_QUERY, ROLE)
    assert powers is not None
    assert not any(powers.values())
    assert await owner.fetch(OWNED_QUERY, ROLE) == []
    memberships = "select roleid from pg_auth_members where member = $1::regrole"
    assert await owner.fetch(memberships, ROLE) == []
    for privilege in ("create", "create with grant option"):
        allowed = "select has_schema_privilege($1, 'guerdon', $2)"
        assert not await owner.fetchval(allowed, ROLE, privilege)
    assert await owner.fetch(UNSAFE_FUNCTIONS_QUERY) == []


async def test_no_table_takes_a_row_of_another_tenant(
    owner: asyncpg.Connection, database: Database
) -> None:
    """The policy is asked before any constraint, so the row needs no other column."""
    mine, theirs = await insert_tenant(owner), await insert_tenant(owner)
    tables = [
        table["name"]
        for table in await owner.fetch(TABLES_QUERY)
        if table["has_tenant"] and table["name"] != READ_BEFORE_THE_TENANT_IS_KNOWN
    ]
    refusal = pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security policy")
    async with database.tenant_transaction(mine) as connection:
        for name in tables:
            insert = f"insert into guerdon.{name} (tenant_id) values ($1)"
            with refusal:
                async with connection.transaction():
                    await connection.execute(insert, theirs)


async def test_rows_of_another_tenant_are_not_there(
    owner: asyncpg.Connection, database: Database
) -> None:
    mine, theirs = await insert_tenant(owner), await insert_tenant(owner)
    await insert_offer(owner, theirs)
    for name in ("tenants", "offers", "offer_counters"):
        count = f"select count(*) from guerdon.{name} where tenant_id = $1"
        async with database.connection() as connection:
            assert await connection.fetchval(count, theirs) == 0
        async with database.tenant_transaction(mine) as connection:
            assert await connection.fetchval(count, theirs) == 0
        async with database.tenant_transaction(theirs) as connection:
            assert await connection.fetchval(count, theirs) == 1
