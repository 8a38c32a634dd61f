"""What fills the caches reads a bounded number of rows, also by plans made on empty tables."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from guerdon.adapters.postgres import queries
from guerdon.domain.identifiers import TenantId
from tests.support.ledger import insert_tenant, new_id
from tests.support.plans import Node, PlanLog, indexes_used, plan_log, rows_read, sequential_scans

BACKGROUND_ROWS = 5_000
WANTED = 50
# An offer, its four targets, two rules and a title; products have a link to a supplier.
ROWS_AN_OFFER_MAX = 8

GROW = """
    insert into guerdon.offers (
      tenant_id, offer_id, version, status, code, code_normalised, discount_type, discount_bps,
      currency, created_by, created_at, updated_at)
    select $1, gen_random_uuid(), 1, case when n % 10 = 0 then 'active' else 'expired' end,
           'c' || n, 'c' || n, 'percentage', 10, 'NGN', 'test', now(), now()
    from generate_series(1, $2::integer) as n;
    """
GROW_LISTS = [
    """
    insert into guerdon.offer_products (tenant_id, offer_id, target_id, product_id)
    select p.tenant_id, p.offer_id, p.id, p.id
    from (
      select tenant_id, offer_id, gen_random_uuid() as id
      from guerdon.offers, generate_series(1, 4)
    ) as p
    """,
    """
    insert into guerdon.offer_rules (tenant_id, offer_id, rule_number, rule_key, rule_type, params)
    select tenant_id, offer_id, n, 'k' || n, 'new_user', '{}'
    from guerdon.offers, generate_series(1, 2) as n
    """,
    """
    insert into guerdon.offer_translations (tenant_id, offer_id, locale, title)
    select tenant_id, offer_id, 'en', 'Title' from guerdon.offers
    """,
]
GROW_PRODUCTS = """
    insert into guerdon.products (tenant_id, product_id, kind)
    select $1, gen_random_uuid(), 'retail' from generate_series(1, $2::integer)
    """
GROW_LINKS = """
    insert into guerdon.supplier_products (tenant_id, supplier_product_id, supplier_id, product_id)
    select tenant_id, gen_random_uuid(), gen_random_uuid(), product_id from guerdon.products
    """


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[PlanLog]:
    async with plan_log(database_url) as opened:
        yield opened


async def grow(owner: asyncpg.Connection, tenant: TenantId) -> None:
    await owner.execute(GROW, tenant, BACKGROUND_ROWS)
    for statement in GROW_LISTS:
        await owner.execute(statement)
    await owner.execute(GROW_PRODUCTS, tenant, BACKGROUND_ROWS)
    await owner.execute(GROW_LINKS)


async def read_offers(log: PlanLog, owner: asyncpg.Connection, tenant: TenantId) -> list[Node]:
    rows = await owner.fetch("select offer_id from guerdon.offers limit $1", WANTED)
    offers = [row["offer_id"] for row in rows] or [new_id()]
    return await log.run(queries.text("read_offers"), tenant, offers, None, False)


async def read_products(log: PlanLog, owner: asyncpg.Connection, tenant: TenantId) -> list[Node]:
    rows = await owner.fetch("select product_id from guerdon.products limit $1", WANTED)
    products = [row["product_id"] for row in rows] or [new_id()]
    return await log.run(queries.text("read_products"), tenant, products)


@pytest.mark.parametrize("analyzed_again", [False, True])
async def test_reads_stay_look_ups_when_the_tables_have_grown(
    log: PlanLog, owner: asyncpg.Connection, analyzed_again: bool
) -> None:
    tenant = await insert_tenant(owner)
    await owner.execute("analyze")
    codes = ["c7", "c8", "none"]
    for _ in range(6):
        await read_offers(log, owner, tenant)
        await read_products(log, owner, tenant)
        await log.run(queries.text("read_offers"), tenant, [], codes, False)
        await log.run(queries.text("list_live_offers"), tenant, None)
    await grow(owner, tenant)
    if analyzed_again:
        await owner.execute("analyze")

    nodes = await read_offers(log, owner, tenant)
    assert not sequential_scans(nodes)
    assert rows_read(nodes) <= WANTED * ROWS_AN_OFFER_MAX
    assert indexes_used(nodes, "offers") == {"offers_pkey"}

    nodes = await log.run(queries.text("read_offers"), tenant, [], codes, False)
    assert not sequential_scans(nodes)
    assert rows_read(nodes) <= len(codes) * (ROWS_AN_OFFER_MAX + 1)

    nodes = await read_products(log, owner, tenant)
    assert not sequential_scans(nodes)
    assert rows_read(nodes) <= WANTED * 2

    nodes = await log.run(queries.text("list_live_offers"), tenant, None)
    assert not sequential_scans(nodes)
    assert rows_read(nodes) <= 2 * (BACKGROUND_ROWS // 10) + 1
