"""The hot functions read a bounded number of rows by primary keys, whatever the planner once saw.

A pooled connection keeps the plans it made while the tables were empty; they must still be right
when
the tables are full.
"""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from guerdon.adapters.postgres import queries
from guerdon.adapters.postgres.redeem_arrays import RedeemArrays
from guerdon.domain.identifiers import OfferId, TenantId
from tests.support.ledger import insert_offer, insert_tenant, item, new_id
from tests.support.plans import (
    Node,
    PlanLog,
    indexes_used,
    plan_log,
    rows_read,
    sequential_scans,
)

ITEMS = 64
# A batch looks up about a dozen rows an item: request, usage, order, product, customer, what it
# wrote.
ROWS_AN_ITEM_MAX = 16
BACKGROUND_ROWS = 5_000


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[PlanLog]:
    async with plan_log(database_url) as opened:
        yield opened


@pytest.fixture
async def tenant(owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(owner)


async def redeem(log: PlanLog, tenant: TenantId, offer: OfferId) -> list[Node]:
    items = [
        item(tenant, offer, order_ref=f"{new_id()}", target_id=new_id(), target_max_uses=9)
        for _ in range(ITEMS)
    ]
    return await log.run(queries.text("redeem"), *RedeemArrays(tenant, items).arguments())


async def observe(log: PlanLog, tenant: TenantId, offer: OfferId) -> list[Node]:
    ids = [new_id() for _ in range(ITEMS)]
    # Half of the probes name the offer by a code.
    offers: list[Any] = [offer, None] * (ITEMS // 2)
    codes: list[Any] = [None, "save10"] * (ITEMS // 2)
    orders = [f"{number}" for number in range(ITEMS)]
    return await log.run(
        queries.text("observe"), tenant, ids, offers, codes, ids, ids, ids, orders, True
    )


async def fill(owner: asyncpg.Connection, tenant: TenantId, offer: OfferId) -> None:
    """Much of everything in the same tenant."""
    statements = [
        """insert into guerdon.redemptions (tenant_id, request_id, body_hash, offer_id,
             offer_version, slot, sequence, customer_id, customer_use, order_ref, currency,
             list_minor, discount_minor, paid_minor, redeemed_at)
           select $1, gen_random_uuid(), '\\x00', $2, 1, 0, 1000000 + n, gen_random_uuid(), 1,
             'filled-' || n, 'NGN', 100, 10, 90, now() from generate_series(1, $3) n""",
        """insert into guerdon.redemption_lines (tenant_id, request_id, quantity, unit_price_minor,
             list_minor, discount_minor, paid_minor)
           select $1, gen_random_uuid(), 1, 100, 100, 10, 90
           from generate_series(1, $3) where $2::uuid is not null""",
        """insert into guerdon.offer_customer_usage (tenant_id, offer_id, customer_id)
           select $1, $2, gen_random_uuid() from generate_series(1, $3)""",
        """insert into guerdon.offer_product_counters (tenant_id, offer_id, target_id)
           select $1, $2, gen_random_uuid() from generate_series(1, $3)""",
        """insert into guerdon.customers (tenant_id, customer_id)
           select $1, gen_random_uuid() from generate_series(1, $3) where $2::uuid is not null""",
        """insert into guerdon.products (tenant_id, product_id, kind)
           select $1, gen_random_uuid(), 'retail'
           from generate_series(1, $3) where $2::uuid is not null""",
        """insert into guerdon.offers (tenant_id, offer_id, version, discount_type, discount_bps,
             currency, code, code_normalised, created_by, created_at, updated_at)
           select $1, gen_random_uuid(), 1, 'percentage', 1000, 'NGN', 'F' || n, 'f' || n, 'test',
             now(), now() from generate_series(1, $3) n where $2::uuid is not null""",
        """insert into guerdon.offer_counters (tenant_id, offer_id, slot, version)
           select o.tenant_id, o.offer_id, 0, 1 from guerdon.offers o
           where o.tenant_id = $1 and o.offer_id <> $2 limit $3""",
    ]
    for statement in statements:
        await owner.execute(statement, tenant, offer, BACKGROUND_ROWS)


@pytest.mark.parametrize("analysed_empty", [False, True])
@pytest.mark.parametrize("call", [redeem, observe])
async def test_plans_made_on_empty_tables_stay_right_as_they_grow(
    log: PlanLog,
    owner: asyncpg.Connection,
    tenant: TenantId,
    call: Any,
    analysed_empty: bool,
) -> None:
    if analysed_empty:
        await owner.execute("analyze")
    offer = await insert_offer(owner, tenant, code="SAVE10", code_normalised="save10")
    await call(log, tenant, offer)
    await fill(owner, tenant, offer)
    grown = await call(log, tenant, offer)
    await owner.execute("analyze")
    full = await call(log, tenant, offer)
    for nodes in (grown, full):
        assert sequential_scans(nodes) == set()
        assert rows_read(nodes) <= ITEMS * ROWS_AN_ITEM_MAX
        assert indexes_used(nodes, "redemptions") == {
            "redemptions_pkey", "redemptions_live_order",
        }  # fmt: skip
