"""What the judge and a push read: by which indexes, and how many rows, with a million behind them.

Plans live as long as their connection, so each test plans on the tables that it names (empty,
analysed as empty, full) and then counts what the same connection reads once they are full.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import msgspec
import pytest

from tests.support.databases import DatabaseFactory
from tests.support.facts import insert_rules
from tests.support.ledger import insert_offer, insert_tenant, new_id

OPERATOR = UUID(int=7)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WINDOW_DAYS = 30
RULES = [
    ("new_user", {"account_age_days": 1}),
    ("min_topups", {"count": 1}),
    ("min_topups", {"count": 1, "window_days": WINDOW_DAYS}),
    ("min_transactions", {"count": 1}),
    ("min_spent", {"amount_minor": 1, "window_days": WINDOW_DAYS}),
    ("operator_topup_count", {"operator_id": str(OPERATOR), "count": 1}),
    ("operator_spent", {"operator_id": str(OPERATOR), "amount_minor": 1,
                        "window_days": WINDOW_DAYS}),
    ("last_active_within", {"days": WINDOW_DAYS}),
    ("active_days", {"min_active_days": 1, "days": WINDOW_DAYS}),
]  # fmt: skip
PAIRS = 8
"""Pairs that one call judges; the fat customer is one of them."""
ROWS_A_PAIR_MAX = len(RULES) + 4 * WINDOW_DAYS + 4
"""A rule's own row, four windows of daily rows, and the rows of customer, role, list and offer."""

ROWS_OF_SMALL_TABLES_MAX = 200
"""Scanned by the checks of currencies, which Postgres plans by itself."""

# A million rows go in quicker without the log, the key and the reference; none of them is asked.
GROWTH = """
alter table guerdon.transactions
  set unlogged,
  drop constraint transactions_pkey,
  drop constraint transactions_currency_fkey;

insert into guerdon.customers (tenant_id, customer_id, created_at)
select $1, c.id, now() from (
  select $2 union all select gen_random_uuid() from generate_series(1, 20000)) as c (id);

insert into guerdon.transactions (
  tenant_id, transaction_id, customer_id, kind, status, operator_id, amount_minor, currency,
  occurred_at, day)
select $1, 'fat-' || n, $2, 'topup', 'succeeded', $3, 100, 'NGN', d.day + time '12:00', d.day
from generate_series(1, 900000) as n
cross join lateral (select date '2026-11-21' - n % 1500 as day) as d;

insert into guerdon.transactions (
  tenant_id, transaction_id, customer_id, kind, status, operator_id, amount_minor, currency,
  occurred_at, day)
select $1, 'thin-' || c.customer_id || n, c.customer_id, 'topup', 'succeeded', $3, 100, 'NGN',
  d.day + time '12:00', d.day
from guerdon.customers c
cross join generate_series(1, 5) as n
cross join lateral (select date '2026-11-21' - n * 3 as day) as d
where c.tenant_id = $1 and c.customer_id <> $2;

alter table guerdon.transactions
  add constraint transactions_pkey primary key (tenant_id, transaction_id);

insert into guerdon.customer_activity_daily
select t.tenant_id, t.customer_id, o.id, t.day, count(*), count(*), sum(t.amount_minor), false
from guerdon.transactions t
cross join (values ('00000000-0000-0000-0000-000000000000'::uuid), ($3)) as o (id)
where t.tenant_id = $1
group by t.tenant_id, t.customer_id, o.id, t.day;

insert into guerdon.customer_stats
select d.tenant_id, d.customer_id, d.operator_id, sum(d.topups), sum(d.topups), sum(d.spent_minor)
from guerdon.customer_activity_daily d
where d.tenant_id = $1
group by d.tenant_id, d.customer_id, d.operator_id;

insert into guerdon.customer_roles
select c.tenant_id, c.customer_id, 'vip' from guerdon.customers c where c.tenant_id = $1;

insert into guerdon.offers (
  tenant_id, offer_id, version, discount_type, discount_bps, currency, created_by, created_at,
  updated_at)
select $1, gen_random_uuid(), 1, 'percentage', 1, 'NGN', 'test', now(), now()
from generate_series(1, 5000);

insert into guerdon.offer_rules
select o.tenant_id, o.offer_id, 0, 'rule', 'min_topups', '{"count": 1}'
from guerdon.offers o where o.tenant_id = $1
on conflict do nothing;

insert into guerdon.offer_allowed_customers (tenant_id, offer_id, customer_id)
select $1, $4, c.customer_id from guerdon.customers c
where c.tenant_id = $1 and c.customer_id <> $2 limit 5000
"""


class Town(msgspec.Struct, frozen=True):
    """One tenant with a fat customer and many thin ones, and an offer that asks everything."""

    tenant: UUID
    offer: UUID
    fat: UUID
    owner: asyncpg.Connection
    empty_planned: asyncpg.Connection
    """A connection that planned the judge's statements while all tables were empty."""
    empty_analysed: asyncpg.Connection
    """The same, after ANALYZE had told the planner that they are."""
    full: asyncpg.Connection
    full_analysed: asyncpg.Connection


@pytest.fixture(scope="module")
async def town(databases: DatabaseFactory) -> AsyncIterator[Town]:
    name = await databases.clone()
    url = databases.url(name)
    owner = await asyncpg.connect(url)
    tenant = await insert_tenant(owner)
    fat, offer = new_id(), await insert_offer(owner, tenant, audience_mode="listed")
    await insert_rules(owner, tenant, offer, *RULES)
    await owner.execute(
        "insert into guerdon.offer_allowed_roles values ($1, $2, 'vip')", tenant, offer
    )
    connections = []
    for analysed in (False, True):
        if analysed:
            await owner.execute("analyze")
        connections.append(await connect_as_application(url))
        await judge_rows(connections[-1], tenant, offer, [fat])
        transaction = connections[-1].transaction()
        await transaction.start()
        await push_everything(connections[-1], tenant, [new_id(), new_id()])
        await transaction.rollback()
    for statement in GROWTH.split(";"):
        await owner.execute(inline(statement, tenant, fat, OPERATOR, offer))
    connections += [await connect_as_application(url) for _ in range(2)]
    yield Town(tenant, offer, fat, owner, *connections)
    for connection in (*connections, owner):
        await connection.close()
    await databases.drop(name)


def inline(statement: str, *ids: UUID) -> str:
    """Parameters as literals: the server cannot tell their types in every one of the statements."""
    for number, each in enumerate(ids, start=1):
        statement = statement.replace(f"${number}", f"'{each}'::uuid")
    return statement


async def connect_as_application(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, server_settings={"role": "guerdon_app"})


async def judge_rows(
    connection: asyncpg.Connection, tenant: UUID, offer: UUID, customers: list[UUID]
) -> list[int]:
    row = await connection.fetchrow(
        "select * from guerdon.judge_customers_v1($1, $2, $3, $4, true)",
        tenant, [offer] * len(customers), customers, NOW,
    )  # fmt: skip
    assert row is not None
    return list(row["p_verdicts"])


class Reads(msgspec.Struct, frozen=True):
    """What a call read: index entries by index, and rows of sequential scans."""

    entries: dict[str, int]
    rows_scanned: int


async def count_reads(connection: asyncpg.Connection, call: Callable[[], Awaitable[None]]) -> Reads:
    """The difference that a second call on a connection makes to the statistics."""
    await call()
    before = await _read_statistics(connection)
    await call()
    after = await _read_statistics(connection)
    entries = {
        name: count - before.entries[name]
        for name, count in after.entries.items()
        if count != before.entries[name]
    }
    return Reads(entries, after.rows_scanned - before.rows_scanned)


async def _read_statistics(connection: asyncpg.Connection) -> Reads:
    await connection.execute("select pg_stat_force_next_flush()")
    await connection.execute("select pg_stat_clear_snapshot()")
    rows = await connection.fetch(
        "select indexrelname, idx_tup_read from pg_stat_user_indexes where schemaname = 'guerdon'"
    )
    scanned = await connection.fetchval(
        "select sum(seq_tup_read) from pg_stat_user_tables where schemaname = 'guerdon'"
    )
    return Reads({row["indexrelname"]: row["idx_tup_read"] for row in rows}, int(scanned))


async def thin_customers(town: Town, connection: asyncpg.Connection) -> list[UUID]:
    await connection.execute("select set_config('guerdon.tenant_id', $1, false)", str(town.tenant))
    rows = await connection.fetch(
        "select customer_id from guerdon.customers where customer_id <> $1 limit $2",
        town.fat, PAIRS - 1,
    )  # fmt: skip
    return [row["customer_id"] for row in rows]


async def push_everything(
    connection: asyncpg.Connection, tenant: UUID, customers: list[UUID]
) -> None:
    """One push of every kind: a transaction, a day, an account, a product and a link a customer."""
    none: list[UUID | None] = [None] * len(customers)
    items = len(customers)
    await connection.fetchrow(
        "select * from guerdon.record_transactions_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tenant, [f"push-{each}" for each in customers], customers, ["topup"] * items,
        ["succeeded"] * items, [OPERATOR] * items, none, [1] * items, ["NGN"] * items,
        [NOW] * items,
    )  # fmt: skip
    await connection.fetchrow(
        "select * from guerdon.record_activity_v1($1, $2, $3)",
        tenant, customers, [NOW.date()] * items,
    )  # fmt: skip
    accounts = [{"customer_id": each, "roles": ["vip"]} for each in customers]
    products = [{"product_id": each, "kind": "retail"} for each in customers]
    links = [{"supplier_product_id": each, "product_id": each} for each in customers]
    suppliers = [{"supplier_id": tenant, "name": "Acme", "supplier_products": links}]
    for resource, written in (("customers", accounts), ("products", products),
                              ("suppliers", suppliers)):  # fmt: skip
        await connection.fetchrow(
            f"select * from guerdon.upsert_{resource}_v1($1, $2)",
            tenant, msgspec.json.encode(written).decode(),
        )  # fmt: skip


PLANNED = ["empty_planned", "empty_analysed", "full", "full_analysed"]


@pytest.fixture(params=PLANNED)
async def connection(request: pytest.FixtureRequest, town: Town) -> asyncpg.Connection:
    """A connection that made its plans at the moment that the parameter names."""
    if request.param == "full_analysed":
        await town.owner.execute("analyze")
    chosen: asyncpg.Connection = getattr(town, request.param)
    return chosen


async def test_the_judge_reads_bounded_rows_by_primary_key_whenever_it_was_planned(
    town: Town, connection: asyncpg.Connection
) -> None:
    customers = [town.fat, *await thin_customers(town, connection)]

    async def call() -> None:
        verdicts = await judge_rows(connection, town.tenant, town.offer, customers)
        assert verdicts == [0] * PAIRS

    reads = await count_reads(connection, call)
    assert reads.rows_scanned == 0
    assert set(reads.entries) <= {
        "tenants_pkey", "offers_pkey", "offer_rules_pkey", "offer_rules_key_unique",
        "customers_pkey", "customer_roles_pkey", "offer_allowed_roles_pkey",
        "offer_allowed_customers_pkey", "customer_stats_pkey", "customer_activity_daily_pkey",
    }  # fmt: skip
    assert sum(reads.entries.values()) <= PAIRS * ROWS_A_PAIR_MAX, reads.entries
    assert reads.entries["customers_pkey"] == PAIRS
    assert reads.entries["customer_stats_pkey"] == 3 * PAIRS
    assert reads.entries["customer_activity_daily_pkey"] <= PAIRS * (4 * WINDOW_DAYS + 1)
    assert reads.entries["offers_pkey"] == 1
    assert await connection.fetchval("select count(*) from guerdon.transactions") >= 1_000_000


async def test_a_push_reads_bounded_rows_by_primary_key_whenever_it_was_planned(
    town: Town, connection: asyncpg.Connection
) -> None:
    customers = [town.fat, *await thin_customers(town, connection)]
    reads = await count_reads(
        connection, lambda: push_everything(connection, town.tenant, customers)
    )
    assert reads.rows_scanned <= ROWS_OF_SMALL_TABLES_MAX
    assert all(index.endswith("_pkey") for index in reads.entries), reads.entries
    assert max(reads.entries.values()) <= 8 * PAIRS, reads.entries
