"""A filled database is as sound as one that Guerdon filled, and goes on as one."""

from uuid import UUID

import asyncpg
import msgspec
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.domain.offers import (
    Discount,
    DiscountType,
    Offer,
    OfferDraft,
    OfferStatus,
    Rule,
    Translation,
)
from guerdon.domain.redemption import Redemption
from loadtests.audit import QUERIES, run_query
from loadtests.bench.fill import FACT_TABLES, Fill, clone_offers, copy_facts, fill_redemptions
from tests.support.databases import DatabaseFactory
from tests.support.ledger import insert_tenant, item, new_id

CUSTOMERS = 7
OTHERS = 9
# More uses than customers everywhere, so that customers come again; not the same for every offer.
FILL = Fill(of_hot=50, of_others=205)


class Filled(msgspec.Struct):
    """A filled database: the hot offer, its copies, and the last number of each."""

    tenant_id: TenantId
    hot: UUID
    others: list[UUID]
    customers: list[UUID]
    last_numbers: dict[UUID, int]

    @property
    def offers(self) -> list[UUID]:
        return [self.hot, *self.others]


def offer_of(tenant_id: TenantId, offer_id: UUID, code: str) -> Offer:
    return Offer(
        tenant_id=tenant_id,
        offer_id=OfferId(offer_id),
        version=1,
        status=OfferStatus.ACTIVE,
        code=code,
        discount=Discount(DiscountType.PERCENTAGE, bps=1000),
        currency="NGN",
        rules=(
            Rule("new_user", "new_user", {"account_age_days": 7}),
            Rule("min_topups", "min_topups", {"count": 3, "window_days": 30}),
        ),
        translations={"en": Translation("Load test")},
        total_limit=1_000_000,
        per_customer_limit=1_000,
    )


@pytest.fixture
async def filled(owner: asyncpg.Connection, database: Database, database_url: str) -> Filled:
    tenant_id = await insert_tenant(owner)
    hot, others = new_id(), [new_id() for _ in range(OTHERS)]
    customers = [new_id() for _ in range(CUSTOMERS)]
    draft = OfferDraft(offer=offer_of(tenant_id, hot, "LOAD-0"))
    await PostgresOffers(database).create(draft, "test")
    await clone_offers(database_url, tenant_id, hot, others)
    last = await fill_redemptions(database_url, tenant_id, hot, others, customers, FILL)
    return Filled(tenant_id, hot, others, customers, last)


async def test_a_copy_says_what_the_offer_says(filled: Filled, database: Database) -> None:
    copy = filled.others[-1]
    record = await PostgresOffers(database).find(filled.tenant_id, OfferId(copy))
    assert record is not None
    code = f"LOAD-{str(copy)[-12:]}".upper()
    assert record.draft.offer == offer_of(filled.tenant_id, copy, code)


async def test_the_audits_queries_find_nothing(filled: Filled, owner: asyncpg.Connection) -> None:
    for check in QUERIES:
        finding = await run_query(owner, check, filled.tenant_id, filled.offers)
        assert finding.count == 0, finding


async def test_the_audits_queries_look_at_what_was_filled(
    filled: Filled, owner: asyncpg.Connection
) -> None:
    await owner.execute("update guerdon.offer_counters set used = used + 1 where used > 0")
    finding = await run_query(owner, "counters", filled.tenant_id, filled.offers)
    assert finding.count == len(filled.offers)


async def test_every_offer_has_its_part(filled: Filled, owner: asyncpg.Connection) -> None:
    rows = await owner.fetch("select offer_id, count(*) from guerdon.redemptions group by 1")
    counts = dict(map(tuple, rows))
    assert counts == filled.last_numbers
    assert counts[filled.hot] == FILL.of_hot
    each = {counts[offer] for offer in filled.others}
    assert sum(counts.values()) == FILL.redemptions
    assert max(each) - min(each) == 1
    lines = await owner.fetchval("select count(*) from guerdon.redemption_lines")
    assert lines == FILL.redemptions


async def test_guerdon_goes_on_from_the_fill(filled: Filled, database: Database) -> None:
    """A customer's next use of an offer has the next numbers, of both kinds."""
    offer, customer = filled.others[0], filled.customers[0]
    # The row has rules, and these customers no facts: without rules the store decides alone.
    async with database.tenant_transaction(filled.tenant_id) as connection:
        await connection.execute("delete from guerdon.offer_rules")
        before = await connection.fetchval(
            "select last_use from guerdon.offer_customer_usage"
            " where offer_id = $1 and customer_id = $2",
            offer,
            customer,
        )
    uses = item(filled.tenant_id, OfferId(offer), customer_id=customer)
    answered = await PostgresRedemptions(database).redeem(filled.tenant_id, [uses])
    redemption = answered.answers[0].outcome
    assert isinstance(redemption, Redemption)
    assert redemption.sequence == filled.last_numbers[offer] + 1
    assert redemption.customer_use == before + 1


async def test_facts_are_copied_beside_those_that_are_there(
    databases: DatabaseFactory, owner: asyncpg.Connection, database_url: str
) -> None:
    tenant_id, known, new = await insert_tenant(owner), new_id(), new_id()
    name = await databases.clone()
    target = await asyncpg.connect(databases.url(name))
    insert = "insert into guerdon.customers (tenant_id, customer_id) values ($1, $2)"
    try:
        for customer in (known, new):
            await owner.execute(insert, tenant_id, customer)
        await target.execute(insert, tenant_id, known)
        await copy_facts(database_url, databases.url(name), tenant_id)
        assert await target.fetchval("select count(*) from guerdon.customers") == 2
    finally:
        await target.close()
        await databases.drop(name)
    assert "customers" in FACT_TABLES
