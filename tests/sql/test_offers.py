"""ports.OfferStore and write_offer_v1: versions, the barrier, and what an edit leaves behind."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.domain.errors import CodeAlreadyUsed, NotFound, OfferAlreadyExists
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.domain.offers import (
    AudienceMode,
    BuyGet,
    Discount,
    DiscountType,
    EligibilityLogic,
    OfferDraft,
    OfferKind,
    OfferStatus,
    ProductScope,
    Rule,
    ServiceType,
    Target,
    Translation,
)
from guerdon.domain.redemption import Redemption
from guerdon.ports import LocksTimedOut, OfferRecord, StaleVersion, VersionPassed
from tests.support.control import draft, wait_until_blocked
from tests.support.ledger import counters, insert_tenant, item, new_id

LOCK_OFFER = "select from guerdon.offer_counters where tenant_id = $1 for no key update"


@pytest.fixture
async def tenant_id(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner)


@pytest.fixture
def store(shared_database: Database) -> PostgresOffers:
    return PostgresOffers(shared_database)


def edited(record: OfferRecord, **fields: Any) -> OfferDraft:
    offer = msgspec.structs.replace(record.draft.offer, **fields)
    return msgspec.structs.replace(record.draft, offer=offer)


def full_draft(tenant_id: TenantId) -> OfferDraft:
    return draft(
        tenant_id,
        status=OfferStatus.DRAFT,
        code="Save50",
        discount=Discount(DiscountType.FIXED_PRICE, minor=3995),
        offer_quantity=2,
        max_discount_minor=900,
        priority=-3,
        auto_apply=True,
        service_type=ServiceType.PICKUP,
        product_scope=ProductScope.LISTED,
        targets=(
            Target(product_id=new_id(), fixed_price_minor=12, offer_quantity=3, max_uses=4),
            Target(supplier_product_id=new_id(), discount_bps=250, max_quantity_per_purchase=9),
            Target(supplier_id=new_id()),
        ),
        audience_mode=AudienceMode.LISTED,
        eligibility_logic=EligibilityLogic.ANY,
        rules=(
            Rule("b", "new_user", {"account_age_days": 7}, "young"),
            Rule("a", "min_spent", {"amount_minor": 5000, "window_days": 30}),
        ),
        total_limit=1000,
        per_customer_limit=2,
        starts_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        ends_at=datetime(2027, 1, 1, tzinfo=UTC),
        translations={"en": Translation("Title", "Text"), "ar": Translation("عنوان")},
        allowed_customers=(CustomerId(new_id()), CustomerId(new_id())),
        allowed_roles=("vip", "Reseller", "ärzte"),
        internal_note="for staff",
    )


async def test_an_offer_reads_back_as_it_was_written(
    store: PostgresOffers, tenant_id: TenantId
) -> None:
    created = await store.create(full_draft(tenant_id), "someone")
    found = await store.find(tenant_id, created.draft.offer.offer_id)
    assert found is not None
    assert set(found.targets_used.values()) == {0}
    assert msgspec.structs.replace(found, targets_used={}) == created


async def test_an_offer_with_buy_get_terms_reads_back_as_it_was_written(
    store: PostgresOffers, tenant_id: TenantId
) -> None:
    terms = draft(
        tenant_id,
        kind=OfferKind.BOGO,
        discount=Discount(DiscountType.BUY_X_GET_Y),
        buy_get=BuyGet(2, 1, 5000, groups_max=3),
    )
    created = await store.create(terms, "someone")
    assert await store.find(tenant_id, created.draft.offer.offer_id) == created


async def test_an_edit_replaces_everything_and_keeps_what_each_version_said(
    store: PostgresOffers, tenant_id: TenantId, shared_owner: asyncpg.Connection
) -> None:
    first = await store.create(full_draft(tenant_id), "someone")
    offer_id = first.draft.offer.offer_id
    second = await store.replace(
        draft(tenant_id, offer_id=offer_id), current=first, changed_by="other"
    )
    found = await store.find(tenant_id, offer_id)
    assert found is not None
    assert msgspec.structs.replace(found, targets_used={}) == second
    assert (second.draft.offer.version, second.created_by) == (2, "someone")
    assert second.updated_at > first.updated_at
    rows = await shared_owner.fetch(
        "select version, content::text, changed_by from guerdon.offer_versions "
        "where tenant_id = $1 order by version",
        tenant_id,
    )
    said = [msgspec.json.decode(row["content"], type=OfferDraft) for row in rows]
    assert said == [first.draft, second.draft]
    assert [row["changed_by"] for row in rows] == ["someone", "other"]


async def test_an_edit_takes_the_next_number_of_the_offers_effects(
    store: PostgresOffers,
    tenant_id: TenantId,
    shared_owner: asyncpg.Connection,
    shared_database: Database,
) -> None:
    record = await store.create(draft(tenant_id), "someone")
    offer_id = record.draft.offer.offer_id
    redemptions = PostgresRedemptions(shared_database)
    await redemptions.redeem(tenant_id, [item(tenant_id, offer_id)])
    record = await store.replace(edited(record, priority=1), current=record, changed_by="a")
    await redemptions.redeem(tenant_id, [item(tenant_id, offer_id, version=2)])
    row = await counters(shared_owner, offer_id)
    assert (row["used"], row["live_rows"]) == (2, 2)
    assert (row["last_sequence"], row["effects"]) == (3, 3)
    effect = await shared_owner.fetchrow(
        "select * from guerdon.offer_effects where tenant_id = $1", tenant_id
    )
    assert effect is not None
    assert (effect["kind"], effect["sequence"], effect["version"]) == ("edited", 2, 2)


async def test_a_stale_edit_writes_nothing(
    store: PostgresOffers, tenant_id: TenantId, shared_owner: asyncpg.Connection
) -> None:
    first = await store.create(draft(tenant_id), "someone")
    await store.replace(edited(first, priority=1), current=first, changed_by="a")
    with pytest.raises(VersionPassed):
        await store.replace(edited(first, priority=2), current=first, changed_by="b")
    row = await shared_owner.fetchrow(
        "select version, priority from guerdon.offers where tenant_id = $1", tenant_id
    )
    assert row is not None
    assert (row["version"], row["priority"]) == (2, 1)
    assert await count(shared_owner, "offer_versions", tenant_id) == 2


async def test_of_edits_at_the_same_time_each_version_is_written_once(
    store: PostgresOffers, tenant_id: TenantId, shared_owner: asyncpg.Connection
) -> None:
    first = await store.create(draft(tenant_id), "someone")
    edits = [
        store.replace(edited(first, priority=number), current=first, changed_by="a")
        for number in range(8)
    ]
    outcomes = await asyncio.gather(*edits, return_exceptions=True)
    assert sum(isinstance(outcome, OfferRecord) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, VersionPassed) for outcome in outcomes) == 7
    assert await count(shared_owner, "offer_effects", tenant_id) == 1


async def test_a_code_belongs_to_one_live_offer_whatever_its_spelling(
    store: PostgresOffers, tenant_id: TenantId, shared_owner: asyncpg.Connection
) -> None:
    first = await store.create(draft(tenant_id, code="SAVE50"), "a")
    with pytest.raises(CodeAlreadyUsed):
        await store.create(draft(tenant_id, code=" \uff53ave50"), "a")
    other = await store.create(draft(tenant_id, code="OTHER"), "a")
    with pytest.raises(CodeAlreadyUsed):
        await store.replace(edited(other, code="save50"), current=other, changed_by="a")
    await shared_owner.execute(
        "update guerdon.offers set deleted_at = now() where offer_id = $1",
        first.draft.offer.offer_id,
    )
    await store.replace(edited(other, code="save50"), current=other, changed_by="a")
    with pytest.raises(NotFound):
        await store.replace(edited(first, priority=9), current=first, changed_by="a")


async def test_an_id_is_taken_once(store: PostgresOffers, tenant_id: TenantId) -> None:
    first = await store.create(draft(tenant_id), "a")
    with pytest.raises(OfferAlreadyExists):
        await store.create(draft(tenant_id, offer_id=first.draft.offer.offer_id), "a")


async def test_a_counter_of_a_target_outlives_the_target(
    store: PostgresOffers, tenant_id: TenantId, shared_owner: asyncpg.Connection
) -> None:
    target = Target(product_id=new_id(), max_uses=5)
    first = await store.create(
        draft(tenant_id, product_scope=ProductScope.LISTED, targets=(target,)), "a"
    )
    await shared_owner.execute(
        "update guerdon.offer_product_counters set used = 3 where tenant_id = $1", tenant_id
    )
    second = await store.replace(edited(first, targets=()), current=first, changed_by="a")
    third = await store.replace(edited(second, targets=(target,)), current=second, changed_by="a")
    found = await store.find(tenant_id, third.draft.offer.offer_id)
    assert found is not None
    assert found.targets_used == {target.target_id: 3}


async def test_nobody_reads_or_edits_another_tenants_offer(
    store: PostgresOffers, tenant_id: TenantId, shared_owner: asyncpg.Connection
) -> None:
    theirs = await store.create(draft(tenant_id), "a")
    mine = await insert_tenant(shared_owner)
    assert await store.find(mine, theirs.draft.offer.offer_id) is None
    forged = edited(theirs, tenant_id=mine, priority=5)
    with pytest.raises(NotFound):
        await store.replace(forged, current=theirs, changed_by="b")
    assert (
        await shared_owner.fetchval(
            "select priority from guerdon.offers where tenant_id = $1", tenant_id
        )
        == 0
    )


async def test_a_redemption_that_waited_for_an_edit_sees_its_version(
    store: PostgresOffers,
    tenant_id: TenantId,
    shared_owner: asyncpg.Connection,
    shared_database: Database,
    shared_url: str,
) -> None:
    record = await store.create(draft(tenant_id), "a")
    offer_id = record.draft.offer.offer_id
    async with shared_owner.transaction():
        await shared_owner.execute(LOCK_OFFER, tenant_id)
        edit = asyncio.create_task(
            store.replace(edited(record, status=OfferStatus.PAUSED), current=record, changed_by="a")
        )
        await wait_until_blocked(shared_url, 1)
        redeem = asyncio.create_task(
            PostgresRedemptions(shared_database).redeem(tenant_id, [item(tenant_id, offer_id)])
        )
        await wait_until_blocked(shared_url, 2)
    assert (await edit).draft.offer.version == 2
    answer = (await redeem).answers[0]
    assert answer.outcome == StaleVersion(2, None)


async def test_no_redemption_commits_after_an_acknowledged_pause(
    store: PostgresOffers,
    tenant_id: TenantId,
    shared_owner: asyncpg.Connection,
    shared_database: Database,
) -> None:
    redemptions = PostgresRedemptions(shared_database)
    granted = 0
    for _ in range(50):
        record = await store.create(draft(tenant_id), "a")
        offer_id = record.draft.offer.offer_id
        race = [
            asyncio.create_task(redemptions.redeem(tenant_id, [item(tenant_id, offer_id)]))
            for _ in range(6)
        ]
        await asyncio.wait(race, return_when=asyncio.FIRST_COMPLETED)
        paused = await store.replace(
            edited(record, status=OfferStatus.PAUSED), current=record, changed_by="a"
        )
        before = await shared_owner.fetchval(
            "select used from guerdon.offer_counters where offer_id = $1", offer_id
        )
        for answer in await asyncio.gather(*race):
            granted += isinstance(answer.answers[0].outcome, Redemption)
        row = await counters(shared_owner, offer_id)
        assert row["used"] == before
        assert row["last_sequence"] == row["effects"]
        late = await shared_owner.fetchval(
            "select count(*) from guerdon.redemptions where offer_id = $1 and redeemed_at > $2",
            offer_id,
            paused.updated_at,
        )
        assert late == 0
    assert granted >= 50


async def test_an_edit_gives_up_on_a_lock_that_is_not_let_go(
    store: PostgresOffers,
    tenant_id: TenantId,
    shared_owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("guerdon.adapters.postgres.offers.EDIT_LOCK_TIMEOUT_MILLISECONDS", 50)
    record = await store.create(draft(tenant_id), "a")
    async with shared_owner.transaction():
        await shared_owner.execute(LOCK_OFFER, tenant_id)
        with pytest.raises(LocksTimedOut):
            await store.replace(edited(record, priority=1), current=record, changed_by="a")


async def test_pages_go_from_the_newest_to_the_oldest_without_gaps(
    store: PostgresOffers, tenant_id: TenantId, shared_owner: asyncpg.Connection
) -> None:
    for number in range(7):
        status = OfferStatus.DRAFT if number % 2 else OfferStatus.ACTIVE
        await store.create(draft(tenant_id, priority=number, status=status), "a")
    # Two of the same moment: the id decides between them.
    await shared_owner.execute(
        "update guerdon.offers set created_at = now() where tenant_id = $1", tenant_id
    )
    seen: list[OfferId] = []
    before = None
    while page := await store.list_page(tenant_id, None, before, 3):
        seen += [record.draft.offer.offer_id for record in page]
        before = (page[-1].created_at, page[-1].draft.offer.offer_id)
    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen, reverse=True)
    drafts = await store.list_page(tenant_id, OfferStatus.DRAFT, None, 10)
    assert {record.draft.offer.priority for record in drafts} == {1, 3, 5}


async def test_versions_are_told_apart_by_time_even_if_the_clock_steps_back(
    store: PostgresOffers, tenant_id: TenantId, shared_owner: asyncpg.Connection
) -> None:
    record = await store.create(draft(tenant_id), "a")
    later = datetime.now(UTC) + timedelta(hours=1)
    await shared_owner.execute(
        "update guerdon.offers set updated_at = $1 where tenant_id = $2", later, tenant_id
    )
    edit = await store.replace(edited(record, priority=1), current=record, changed_by="a")
    assert edit.updated_at > later


async def count(owner: asyncpg.Connection, table: str, tenant_id: TenantId) -> int:
    rows: int = await owner.fetchval(
        f"select count(*) from guerdon.{table} where tenant_id = $1", tenant_id
    )
    return rows
