"""A database that has seen a million redemptions, written straight into the tables in seconds.

Every constraint is obeyed and everything agrees with everything, so that the audit's queries find
nothing. Offers are copies of one that the API wrote, facts those that the API took.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec

from loadtests.admin import CURRENCY

STATEMENTS = {
    file.stem: file.read_text()
    for file in sorted(Path(__file__).with_name("filling").glob("*.sql"))
}
# What pushed facts of customers end up in, for all who may redeem.
FACT_TABLES = ("customers", "transactions", "customer_stats", "customer_activity_daily")
FILLED_TABLES = ("redemptions", "redemption_lines", "offer_customer_usage", "offer_counters")
UNIT_PRICE_MINOR = 1000
# Seconds for one statement: a million rows with their indexes, on a busy machine.
STATEMENT_SECONDS_MAX = 300.0


class Fill(msgspec.Struct, frozen=True):
    """How many redemptions the hot offer gets, and how many all others together."""

    of_hot: int
    of_others: int

    @property
    def redemptions(self) -> int:
        return self.of_hot + self.of_others


async def clone_offers(
    database_url: str, tenant_id: UUID, offer_id: UUID, ids: Sequence[UUID]
) -> None:
    """Copies of an offer without redemptions. A server that knows the tenant already finds them
    at its next check of its copy."""
    await run(database_url, tenant_id, STATEMENTS["clone_offers"], tenant_id, offer_id, list(ids))


async def fill_redemptions(
    database_url: str,
    tenant_id: UUID,
    hot: UUID,
    others: Sequence[UUID],
    customers: Sequence[UUID],
    fill: Fill,
) -> dict[UUID, int]:
    """Into a database without redemptions; gives the number of each offer's last one.

    In the end the tables are vacuumed and analyzed, which autovacuum does within the minute anyway,
    but then in the middle of a measured round.
    """
    await run(database_url, tenant_id, "create schema filling")
    await run(
        database_url, tenant_id, STATEMENTS["plan_uses"],
        hot, list(others), list(customers), fill.of_hot, fill.of_others,
    )  # fmt: skip
    # One after the other they take twice as long.
    price = (tenant_id, UNIT_PRICE_MINOR)
    await asyncio.gather(
        run(database_url, tenant_id, STATEMENTS["write_redemptions"], *price, CURRENCY),
        run(database_url, tenant_id, STATEMENTS["write_counters"], *price),
    )
    await run(database_url, tenant_id, "drop schema filling cascade")
    tables = ", ".join(f"guerdon.{table}" for table in FILLED_TABLES)
    await run(database_url, tenant_id, f"vacuum (analyze) {tables}")
    return await last_numbers(database_url, tenant_id)


async def last_numbers(database_url: str, tenant_id: UUID) -> dict[UUID, int]:
    """By offer."""
    connection = await tenant_connection(database_url, tenant_id)
    try:
        rows = await connection.fetch(
            "select offer_id, last_sequence from guerdon.offer_counters where tenant_id = $1",
            tenant_id,
        )
    finally:
        await connection.close()
    return {row["offer_id"]: row["last_sequence"] for row in rows}


async def run(database_url: str, tenant_id: UUID, statement: str, *arguments: object) -> None:
    """One statement on a connection of its own."""
    connection = await tenant_connection(database_url, tenant_id)
    try:
        await connection.execute(statement, *arguments, timeout=STATEMENT_SECONDS_MAX)
    finally:
        await connection.close()


async def copy_facts(from_url: str, to_url: str, tenant_id: UUID) -> None:
    """The facts of a tenant that has the same id in both databases, row by row."""
    source = await tenant_connection(from_url, tenant_id)
    target = await tenant_connection(to_url, tenant_id)
    try:
        for table in FACT_TABLES:
            query = f"select * from guerdon.{table} where tenant_id = $1"
            rows = [tuple(row) for row in await source.fetch(query, tenant_id)]
            await target.execute(f"create temporary table new_{table} (like guerdon.{table})")
            await target.copy_records_to_table(f"new_{table}", records=rows)
            # Those of the demo tenant are in every database.
            await target.execute(
                f"insert into guerdon.{table} select * from new_{table} on conflict do nothing"
            )
    finally:
        await source.close()
        await target.close()


async def tenant_connection(database_url: str, tenant_id: UUID) -> asyncpg.Connection:
    """Row level security binds also an owner of the tables who is not a superuser."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("select set_config('guerdon.tenant_id', $1, false)", str(tenant_id))
    return connection
