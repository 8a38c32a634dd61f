"""ports.OfferCatalogue: the process copy in front of a real Postgres."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from guerdon.adapters.catalogue.catalogue import Catalogue
from guerdon.adapters.postgres.catalogue import PostgresOfferReader
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.domain.errors import DependencyUnavailable, NotFound
from guerdon.domain.identifiers import OfferId, ProductId, TenantId
from guerdon.domain.offers import Offer, OfferReference, OfferStatus, normalise_code
from guerdon.domain.products import Product, ProductKind
from guerdon.limits import CATALOGUE_AGE_SECONDS_MAX, CATALOGUE_CHECK_SECONDS
from guerdon.ports import Change, ChangeKind, OfferRecord
from tests.support.control import Clock, draft, make_catalogue
from tests.support.counted_reader import Reader
from tests.support.ledger import insert_tenant, new_id


@pytest.fixture
async def tenant_id(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(shared_database: Database) -> Reader:
    return Reader(PostgresOfferReader(shared_database))


@pytest.fixture
async def catalogue(
    shared_database: Database, reader: Reader, clock: Clock
) -> AsyncIterator[Catalogue]:
    catalogue = make_catalogue(shared_database, reader=reader, clock=clock)
    yield catalogue
    await catalogue.close()


@pytest.fixture
def store(shared_database: Database) -> PostgresOffers:
    return PostgresOffers(shared_database)


def by_id(offer_id: OfferId) -> OfferReference:
    return OfferReference(offer_id=offer_id)


def by_code(code: str) -> OfferReference:
    return OfferReference(code=normalise_code(code))


def told(offer: Offer, version: int) -> Change:
    return Change(ChangeKind.OFFER, offer.tenant_id, str(offer.offer_id), version)


async def edit(store: PostgresOffers, record: OfferRecord, **fields: object) -> OfferRecord:
    offer = msgspec.structs.replace(record.draft.offer, **fields)
    changed = msgspec.structs.replace(record.draft, offer=offer)
    return await store.replace(changed, current=record, changed_by="test")


async def pause(store: PostgresOffers, record: OfferRecord) -> OfferRecord:
    return await edit(store, record, status=OfferStatus.PAUSED)


async def test_live_offers_are_read_once_and_then_found_without_postgres(
    catalogue: Catalogue, store: PostgresOffers, reader: Reader, tenant_id: TenantId
) -> None:
    coded = await store.create(draft(tenant_id, code="Save50"), "a")
    plain = await store.create(draft(tenant_id, status=OfferStatus.SCHEDULED), "a")
    await store.create(draft(tenant_id, status=OfferStatus.PAUSED), "a")
    assert await catalogue.offer(tenant_id, by_code(" sAVE50 ")) == coded.draft.offer
    calls = list(reader.calls)
    assert await catalogue.offer(tenant_id, by_id(plain.draft.offer.offer_id)) == plain.draft.offer
    assert await catalogue.automatic_offers(tenant_id) == (plain.draft.offer,)
    assert (await catalogue.tenant(tenant_id)).currency == "NGN"
    assert reader.calls == calls == ["live", "offers"]


async def test_callers_that_ask_at_once_share_one_read_and_none_of_them_can_cancel_it(
    catalogue: Catalogue, store: PostgresOffers, reader: Reader, tenant_id: TenantId
) -> None:
    record = await store.create(draft(tenant_id), "a")
    reader.held_call = "live"
    callers = [
        asyncio.create_task(catalogue.offer(tenant_id, by_id(record.draft.offer.offer_id)))
        for _ in range(20)
    ]
    await reader.answered.wait()
    callers[0].cancel()
    callers[7].cancel()
    reader.released.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert sum(answer == record.draft.offer for answer in answers) == 18
    assert reader.calls == ["live", "offers"]


async def test_offers_that_are_not_live_or_not_there_are_held_as_well(
    catalogue: Catalogue, store: PostgresOffers, reader: Reader, tenant_id: TenantId
) -> None:
    paused = await store.create(draft(tenant_id, code="LATER", status=OfferStatus.PAUSED), "a")
    nobody = by_id(OfferId(new_id()))
    for _ in range(2):
        assert await catalogue.offer(tenant_id, by_id(paused.draft.offer.offer_id)) is not None
        assert await catalogue.offer(tenant_id, by_code("later")) == paused.draft.offer
        assert await catalogue.offer(tenant_id, nobody) is None
        assert await catalogue.offer(tenant_id, by_code("nothing")) is None
    assert reader.calls == ["live", "offers", "code", "offers", "code"]


async def test_nothing_is_used_past_its_age_without_being_read_again(
    catalogue: Catalogue,
    store: PostgresOffers,
    reader: Reader,
    clock: Clock,
    tenant_id: TenantId,
) -> None:
    live = await store.create(draft(tenant_id), "a")
    reference = by_id(live.draft.offer.offer_id)
    nobody = by_id(OfferId(new_id()))
    await catalogue.offer(tenant_id, reference)
    assert await catalogue.offer(tenant_id, nobody) is None
    await pause(store, live)
    await store.create(draft(tenant_id, offer_id=nobody.offer_id), "a")
    clock.seconds += CATALOGUE_CHECK_SECONDS - 0.1
    before = await catalogue.offer(tenant_id, reference)
    assert before == live.draft.offer
    clock.seconds += CATALOGUE_AGE_SECONDS_MAX
    after = await catalogue.offer(tenant_id, reference)
    assert after is not None
    assert after.status is OfferStatus.PAUSED
    assert await catalogue.offer(tenant_id, nobody) is not None
    assert [offer.offer_id for offer in await catalogue.automatic_offers(tenant_id)] == [
        nobody.offer_id
    ]


async def test_a_check_that_is_due_runs_beside_and_one_that_fails_harms_nobody_yet(
    catalogue: Catalogue,
    store: PostgresOffers,
    reader: Reader,
    clock: Clock,
    tenant_id: TenantId,
) -> None:
    live = await store.create(draft(tenant_id), "a")
    reference = by_id(live.draft.offer.offer_id)
    await catalogue.offer(tenant_id, reference)
    reader.broken = True
    clock.seconds += CATALOGUE_CHECK_SECONDS
    assert await catalogue.offer(tenant_id, reference) == live.draft.offer
    clock.seconds += CATALOGUE_AGE_SECONDS_MAX
    with pytest.raises(DependencyUnavailable):
        await catalogue.offer(tenant_id, reference)
    reader.broken = False
    assert await catalogue.offer(tenant_id, reference) == live.draft.offer


async def test_an_unchanged_copy_is_checked_without_reading_offers(
    catalogue: Catalogue, store: PostgresOffers, reader: Reader, clock: Clock, tenant_id: TenantId
) -> None:
    live = await store.create(draft(tenant_id), "a")
    reference = by_id(live.draft.offer.offer_id)
    await catalogue.offer(tenant_id, reference)
    reader.calls.clear()
    clock.seconds += CATALOGUE_AGE_SECONDS_MAX
    await catalogue.offer(tenant_id, reference)
    assert reader.calls == ["live"]


async def test_an_offer_that_was_forgotten_for_nothing_is_listed_again_after_a_check(
    catalogue: Catalogue, store: PostgresOffers, clock: Clock, tenant_id: TenantId
) -> None:
    live = await store.create(draft(tenant_id), "a")
    await catalogue.automatic_offers(tenant_id)
    catalogue.apply(told(live.draft.offer, 99))
    clock.seconds += CATALOGUE_AGE_SECONDS_MAX
    await catalogue.tenant(tenant_id)
    assert await catalogue.automatic_offers(tenant_id) == (live.draft.offer,)


async def test_a_change_that_is_told_is_read_at_the_next_use(
    catalogue: Catalogue, store: PostgresOffers, reader: Reader, tenant_id: TenantId
) -> None:
    live = await store.create(draft(tenant_id, code="OLD"), "a")
    offer = live.draft.offer
    await catalogue.offer(tenant_id, by_id(offer.offer_id))
    await edit(store, live, code="NEW")
    catalogue.apply(told(offer, 2))
    found = await catalogue.offer(tenant_id, by_code("new"))
    assert found is not None
    assert found.version == 2
    assert await catalogue.offer(tenant_id, by_code("old")) is None
    reader.calls.clear()
    # Told twice, by NOTIFY and by Redis: what is held already is not read again.
    catalogue.apply(told(offer, 2))
    assert await catalogue.offer(tenant_id, by_id(offer.offer_id)) == found
    assert reader.calls == []


async def test_a_new_offer_that_is_told_is_listed_and_a_paused_one_is_not(
    catalogue: Catalogue, store: PostgresOffers, tenant_id: TenantId
) -> None:
    first = await store.create(draft(tenant_id), "a")
    assert len(await catalogue.automatic_offers(tenant_id)) == 1
    second = await store.create(draft(tenant_id), "a")
    catalogue.apply(told(second.draft.offer, 1))
    assert len(await catalogue.automatic_offers(tenant_id)) == 2
    await pause(store, first)
    catalogue.apply(told(first.draft.offer, 2))
    assert await catalogue.automatic_offers(tenant_id) == (second.draft.offer,)


async def test_a_read_that_began_before_a_change_is_not_kept_over_it(
    catalogue: Catalogue, store: PostgresOffers, reader: Reader, tenant_id: TenantId
) -> None:
    live = await store.create(draft(tenant_id), "a")
    offer = live.draft.offer
    reader.held_call = "offers"
    slow = asyncio.create_task(catalogue.offer(tenant_id, by_id(offer.offer_id)))
    await reader.answered.wait()
    await pause(store, live)
    catalogue.apply(told(offer, 2))
    reader.released.set()
    await slow
    found = await catalogue.offer(tenant_id, by_id(offer.offer_id))
    assert found is not None
    assert found.version == 2
    assert await catalogue.automatic_offers(tenant_id) == ()


async def test_a_stale_version_is_read_anew_once_for_all_who_saw_it(
    catalogue: Catalogue, store: PostgresOffers, reader: Reader, tenant_id: TenantId
) -> None:
    live = await store.create(draft(tenant_id), "a")
    offer = live.draft.offer
    await catalogue.offer(tenant_id, by_id(offer.offer_id))
    await edit(store, live, priority=7)
    reader.calls.clear()
    for _ in range(5):
        await catalogue.forget_offer(tenant_id, offer.offer_id, 1)
    found = await catalogue.offer(tenant_id, by_id(offer.offer_id))
    assert found is not None
    assert found.priority == 7
    await catalogue.forget_offer(tenant_id, offer.offer_id, 1)
    await catalogue.offer(tenant_id, by_id(offer.offer_id))
    assert reader.calls == ["offers"]


@pytest.mark.parametrize("named_by", ["id", "code"])
async def test_an_offer_that_appeared_is_found_once_its_absence_is_forgotten(
    catalogue: Catalogue, store: PostgresOffers, tenant_id: TenantId, named_by: str
) -> None:
    offer_id = OfferId(new_id())
    reference = by_id(offer_id) if named_by == "id" else by_code("fresh")
    assert await catalogue.offer(tenant_id, reference) is None
    await store.create(draft(tenant_id, offer_id=offer_id, code="FRESH"), "a")
    assert await catalogue.offer(tenant_id, reference) is None
    await catalogue.forget_unknown(tenant_id, reference)
    assert await catalogue.offer(tenant_id, reference) is not None


async def test_after_missed_changes_everything_is_compared_before_it_is_used(
    catalogue: Catalogue, store: PostgresOffers, reader: Reader, tenant_id: TenantId
) -> None:
    kept = await store.create(draft(tenant_id), "a")
    gone = await store.create(draft(tenant_id), "a")
    await catalogue.automatic_offers(tenant_id)
    await pause(store, gone)
    reader.calls.clear()
    catalogue.forget_all()
    assert await catalogue.automatic_offers(tenant_id) == (kept.draft.offer,)
    # What did not change was not read again: the stamps told.
    assert reader.calls == ["live", "offers"]


async def test_an_offer_of_a_restored_database_replaces_a_higher_version(
    catalogue: Catalogue,
    store: PostgresOffers,
    shared_owner: asyncpg.Connection,
    clock: Clock,
    tenant_id: TenantId,
) -> None:
    live = await store.create(draft(tenant_id), "a")
    reference = by_id(live.draft.offer.offer_id)
    await edit(store, live, priority=7)
    assert (await catalogue.offer(tenant_id, reference)) is not None
    await shared_owner.execute(
        "update guerdon.offers set version = 1, priority = 3 where tenant_id = $1", tenant_id
    )
    clock.seconds += CATALOGUE_AGE_SECONDS_MAX
    found = await catalogue.offer(tenant_id, reference)
    assert found is not None
    assert (found.version, found.priority) == (1, 3)


async def test_an_unknown_or_deleted_tenant_is_not_found(
    catalogue: Catalogue, shared_owner: asyncpg.Connection, clock: Clock, tenant_id: TenantId
) -> None:
    with pytest.raises(NotFound):
        await catalogue.tenant(TenantId(new_id()))
    await catalogue.tenant(tenant_id)
    await shared_owner.execute(
        "update guerdon.tenants set deleted_at = now() where tenant_id = $1", tenant_id
    )
    clock.seconds += CATALOGUE_AGE_SECONDS_MAX
    with pytest.raises(NotFound):
        await catalogue.tenant(tenant_id)


async def test_products_are_read_with_their_suppliers_and_forgotten_when_they_change(
    catalogue: Catalogue, shared_owner: asyncpg.Connection, reader: Reader, tenant_id: TenantId
) -> None:
    product_id, link, supplier = ProductId(new_id()), new_id(), new_id()
    unknown = await catalogue.product(tenant_id, product_id)
    assert (unknown.facts_version, unknown.kind) == (0, None)
    await shared_owner.execute(
        "insert into guerdon.products (tenant_id, product_id, kind, list_price_minor, currency) "
        "values ($1, $2, 'retail', 500, 'NGN')",
        tenant_id,
        product_id,
    )
    await shared_owner.execute(
        "insert into guerdon.supplier_products values ($1, $2, $3, $4)",
        tenant_id,
        link,
        supplier,
        product_id,
    )
    assert await catalogue.product(tenant_id, product_id) == unknown
    catalogue.apply(Change(ChangeKind.PRODUCT, tenant_id, str(product_id), 1))
    known = await catalogue.product(tenant_id, product_id)
    assert (known.facts_version, known.kind, known.list_price_minor) == (1, ProductKind.RETAIL, 500)
    assert [one.supplier_product_id for one in known.suppliers] == [link]
    await shared_owner.execute(
        "update guerdon.products set deleted_at = now(), facts_version = 2 where tenant_id = $1",
        tenant_id,
    )
    await catalogue.forget_product(tenant_id, product_id)
    deleted = await catalogue.product(tenant_id, product_id)
    assert deleted == Product(product_id, 2, active=False)
    assert reader.calls.count("products") == 3
    catalogue.apply(Change(ChangeKind.PRODUCT, tenant_id, "*", 0))
    await catalogue.product(tenant_id, product_id)
    assert reader.calls.count("products") == 4


async def test_what_another_tenant_has_is_unknown(
    catalogue: Catalogue,
    store: PostgresOffers,
    shared_owner: asyncpg.Connection,
    tenant_id: TenantId,
) -> None:
    theirs = await store.create(draft(tenant_id, code="THEIRS"), "a")
    mine = await insert_tenant(shared_owner)
    assert await catalogue.offer(mine, by_id(theirs.draft.offer.offer_id)) is None
    assert await catalogue.offer(mine, by_code("theirs")) is None
    assert await catalogue.automatic_offers(mine) == ()
