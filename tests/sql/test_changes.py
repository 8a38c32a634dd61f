"""Hearing of changes: NOTIFY on a connection of its own, and what happens when it is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from guerdon.adapters.postgres.changes import ChangeListener
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.domain.identifiers import TenantId
from guerdon.domain.offers import OfferReference, OfferStatus
from guerdon.ports import Change, ChangeKind
from tests.support.control import draft, make_catalogue
from tests.support.ledger import insert_tenant


class Sink:
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Change | None] = asyncio.Queue()

    def apply(self, change: Change) -> None:
        self.heard.put_nowait(change)

    def forget_all(self) -> None:
        self.heard.put_nowait(None)

    async def next(self) -> Change | None:
        async with asyncio.timeout(10):
            return await self.heard.get()


@contextlib.asynccontextmanager
async def listening(listener: ChangeListener) -> AsyncIterator[None]:
    task = asyncio.create_task(listener.run())
    try:
        async with asyncio.timeout(10):
            await listener.listening.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def tenant_id(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner)


async def test_an_edit_is_heard_with_its_version(
    shared_url: str, shared_database: Database, tenant_id: TenantId
) -> None:
    sink, store = Sink(), PostgresOffers(shared_database)
    async with listening(ChangeListener(shared_url, [sink])):
        assert await sink.next() is None
        record = await store.create(draft(tenant_id), "a")
        offer_id = str(record.draft.offer.offer_id)
        assert await sink.next() == Change(ChangeKind.OFFER, tenant_id, offer_id, 1)
        await store.replace(record.draft, current=record, changed_by="a")
        assert await sink.next() == Change(ChangeKind.OFFER, tenant_id, offer_id, 2)


async def test_an_acknowledged_pause_reaches_a_cache_within_a_second(
    shared_url: str, shared_database: Database, tenant_id: TenantId
) -> None:
    store, catalogue, sink = (
        PostgresOffers(shared_database),
        make_catalogue(shared_database),
        Sink(),
    )
    async with listening(ChangeListener(shared_url, [catalogue, sink])):
        await sink.next()
        record = await store.create(draft(tenant_id), "a")
        await sink.next()
        reference = OfferReference(offer_id=record.draft.offer.offer_id)
        await catalogue.offer(tenant_id, reference)
        offer = msgspec.structs.replace(record.draft.offer, status=OfferStatus.PAUSED)
        paused = msgspec.structs.replace(record.draft, offer=offer)
        await store.replace(paused, current=record, changed_by="a")
        async with asyncio.timeout(1):
            await sink.next()
            found = await catalogue.offer(tenant_id, reference)
        assert found is not None
        assert found.status is OfferStatus.PAUSED
    await catalogue.close()


async def test_everything_is_forgotten_when_the_connection_is_lost_and_when_it_is_back(
    shared_url: str,
    shared_database: Database,
    shared_owner: asyncpg.Connection,
    tenant_id: TenantId,
) -> None:
    sink = Sink()
    listener = ChangeListener(shared_url, [sink])
    async with listening(listener):
        assert await sink.next() is None
        ended = await shared_owner.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and (query like 'LISTEN%' or query = 'select 1')"
        )
        assert ended == 1
        assert await sink.next() is None
        assert await sink.next() is None
        assert listener.listening.is_set()
        await PostgresOffers(shared_database).create(draft(tenant_id), "a")
        assert await sink.next() is not None


async def test_it_keeps_trying_while_nobody_answers() -> None:
    sink = Sink()
    listener = ChangeListener("postgresql://guerdon@127.0.0.1:1/guerdon", [sink])
    task = asyncio.create_task(listener.run())
    for _ in range(3):
        assert await sink.next() is None
    assert not listener.listening.is_set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nonsense_on_the_channel_is_ignored(
    shared_url: str, shared_owner: asyncpg.Connection, tenant_id: TenantId
) -> None:
    sink = Sink()
    async with listening(ChangeListener(shared_url, [sink])):
        assert await sink.next() is None
        good = Change(ChangeKind.KEY, tenant_id, "00ff", 0)
        for text in ("", "offer", f"offer {tenant_id} x", "spell a b 1", good.text()):
            await shared_owner.execute("select pg_notify('guerdon_changes', $1)", text)
        assert await sink.next() == good
