"""ports.OfferShelf on Redis, and the catalogue that starts from it."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from guerdon.adapters.postgres.catalogue import PostgresOfferReader
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.adapters.redis.breaker import Breaker
from guerdon.adapters.redis.offers import RedisOfferShelf
from guerdon.domain.identifiers import TenantId
from guerdon.domain.offers import OfferReference, OfferStatus
from guerdon.limits import CATALOGUE_SHELF_ITEMS_MIN, REDIS_SHELF_ITEMS_MAX
from guerdon.ports import StampedOffer
from tests.support.control import draft, make_catalogue, metrics
from tests.support.ledger import insert_tenant, new_id

SECRET = b"a secret that all servers of one installation share"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def shelf(redis: Redis) -> RedisOfferShelf:
    return make_shelf(redis)


@pytest.fixture
def tenant_id() -> TenantId:
    return TenantId(new_id())


def make_shelf(redis: Redis, secret: bytes = SECRET) -> RedisOfferShelf:
    return RedisOfferShelf(redis, Breaker(time.monotonic, metrics()), secret)


def stamped(tenant_id: TenantId, **fields: object) -> StampedOffer:
    return StampedOffer(draft(tenant_id, **fields).offer, datetime.now(UTC))


def next_version(one: StampedOffer) -> StampedOffer:
    offer = msgspec.structs.replace(one.offer, version=one.offer.version + 1)
    return StampedOffer(offer, datetime.now(UTC))


def key(tenant_id: TenantId) -> str:
    return f"guerdon:{{{tenant_id.hex}}}:offers"


async def fetch(shelf: RedisOfferShelf, tenant_id: TenantId, *wanted: StampedOffer) -> list[object]:
    stamps = {one.offer.offer_id: one.stamp for one in wanted}
    return list(await shelf.fetch(tenant_id, stamps))


async def test_offers_come_back_as_they_were_put(
    shelf: RedisOfferShelf, tenant_id: TenantId
) -> None:
    offers = [stamped(tenant_id, priority=number) for number in range(REDIS_SHELF_ITEMS_MAX + 3)]
    await shelf.store(tenant_id, offers)
    assert await fetch(shelf, tenant_id, *offers) == offers
    missing = stamped(tenant_id)
    assert await fetch(shelf, tenant_id, missing, offers[0]) == [offers[0]]


async def test_of_two_versions_the_higher_stays_in_any_order(
    shelf: RedisOfferShelf, tenant_id: TenantId
) -> None:
    first = stamped(tenant_id)
    second = next_version(first)
    await shelf.store(tenant_id, [second])
    await shelf.store(tenant_id, [first])
    assert await fetch(shelf, tenant_id, second) == [second]
    third = next_version(second)
    await shelf.store(tenant_id, [third])
    assert await fetch(shelf, tenant_id, third) == [third]


async def test_another_stamp_than_the_wanted_one_is_no_answer(
    shelf: RedisOfferShelf, tenant_id: TenantId
) -> None:
    old = stamped(tenant_id)
    await shelf.store(tenant_id, [old])
    same_number = StampedOffer(old.offer, datetime.now(UTC))
    assert await fetch(shelf, tenant_id, next_version(old)) == []
    await shelf.store(tenant_id, [old])
    assert await fetch(shelf, tenant_id, same_number) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty", "strayed", "other secret"])
async def test_an_entry_that_was_not_sealed_for_its_place_is_ignored_and_heals(
    shelf: RedisOfferShelf, redis: Redis, tenant_id: TenantId, damage: str
) -> None:
    good, other = stamped(tenant_id), stamped(tenant_id)
    await shelf.store(tenant_id, [good, other])
    field = good.offer.offer_id.bytes
    # redis-py types text.
    entry: bytes = await redis.hget(key(tenant_id), field)  # type: ignore[assignment]
    wrong = {
        "cut": entry[:-1],
        "flipped": entry[:-1] + bytes([entry[-1] ^ 1]),
        "text": b"9999999999 is a version that no later one is higher than",
        "empty": b"",
        "strayed": await redis.hget(key(tenant_id), other.offer.offer_id.bytes),
    }
    if damage == "other secret":
        await make_shelf(redis, b"another secret of another installation").store(tenant_id, [good])
    else:
        await redis.hset(key(tenant_id), field, wrong[damage])
    assert await fetch(shelf, tenant_id, good, other) == [other]
    await shelf.store(tenant_id, [good])
    assert await fetch(shelf, tenant_id, good, other) == [good, other]


async def test_another_tenants_entries_are_worthless(
    shelf: RedisOfferShelf, redis: Redis, tenant_id: TenantId
) -> None:
    one = stamped(tenant_id)
    await shelf.store(tenant_id, [one])
    other = TenantId(new_id())
    await redis.copy(key(tenant_id), key(other))
    assert await fetch(shelf, other, one) == []


async def test_without_redis_nothing_is_found_and_nothing_is_raised(tenant_id: TenantId) -> None:
    async with Redis.from_url("redis://127.0.0.1:1", retry=None) as nowhere:
        shelf = make_shelf(nowhere)
        one = stamped(tenant_id)
        await shelf.store(tenant_id, [one])
        assert await fetch(shelf, tenant_id, one) == []


async def test_a_key_of_another_type_costs_nothing_but_speed(
    shelf: RedisOfferShelf, redis: Redis, tenant_id: TenantId
) -> None:
    await redis.set(key(tenant_id), "no hash")
    one = stamped(tenant_id)
    assert await fetch(shelf, tenant_id, one) == []
    await shelf.store(tenant_id, [one])


async def test_the_shelf_has_an_end(
    shelf: RedisOfferShelf, redis: Redis, tenant_id: TenantId
) -> None:
    await shelf.store(tenant_id, [stamped(tenant_id)])
    assert 0 < await redis.ttl(key(tenant_id)) <= 24 * 3600


class TestCatalogue:
    """A process that starts finds in Redis what the one before read."""

    @pytest.fixture
    async def known_tenant(self, owner: asyncpg.Connection, database: Database) -> TenantId:
        tenant_id = await insert_tenant(owner)
        store = PostgresOffers(database)
        for number in range(CATALOGUE_SHELF_ITEMS_MIN + 5):
            await store.create(draft(tenant_id, priority=number), "a")
        return tenant_id

    async def test_a_new_process_reads_stamps_alone_from_postgres(
        self, shelf: RedisOfferShelf, database: Database, known_tenant: TenantId
    ) -> None:
        first = make_catalogue(database, shelf=shelf)
        listed = await first.automatic_offers(known_tenant)
        await first.shelved()
        reader = NoOffersReader(database)
        second = make_catalogue(database, shelf=shelf, reader=reader)
        again = await second.automatic_offers(known_tenant)
        assert {offer.offer_id: offer for offer in again} == {
            offer.offer_id: offer for offer in listed
        }
        await first.close()
        await second.close()

    async def test_what_redis_holds_of_an_earlier_version_is_read_from_postgres(
        self,
        shelf: RedisOfferShelf,
        database: Database,
        known_tenant: TenantId,
        owner: asyncpg.Connection,
    ) -> None:
        first = make_catalogue(database, shelf=shelf)
        offers = await first.automatic_offers(known_tenant)
        await first.shelved()
        # Behind the caches' back: nobody told Redis.
        store = PostgresOffers(database)
        paused, changed = [await store.find(known_tenant, offer.offer_id) for offer in offers[:2]]
        assert paused is not None
        assert changed is not None
        for record, fields in (
            (paused, {"status": OfferStatus.PAUSED}),
            (changed, {"priority": -1}),
        ):
            offer = msgspec.structs.replace(record.draft.offer, **fields)
            edited = msgspec.structs.replace(record.draft, offer=offer)
            await store.replace(edited, current=record, changed_by="a")
        second = make_catalogue(database, shelf=shelf)
        listed = {offer.offer_id: offer for offer in await second.automatic_offers(known_tenant)}
        assert paused.draft.offer.offer_id not in listed
        assert listed[changed.draft.offer.offer_id].priority == -1
        reference = OfferReference(offer_id=paused.draft.offer.offer_id)
        found = await second.offer(known_tenant, reference)
        assert found is not None
        assert found.status is OfferStatus.PAUSED
        await first.close()
        await second.close()


class NoOffersReader(PostgresOfferReader):
    """Refuses to read offers, which Redis should have given."""

    async def read_offers(self, tenant_id: object, offer_ids: object) -> list[StampedOffer]:
        raise AssertionError(f"offers were read from Postgres: {offer_ids}")
