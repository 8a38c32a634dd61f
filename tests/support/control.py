"""Offers as the control plane writes them, and the planes themselves over a test's database."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from guerdon.adapters.catalogue.catalogue import Catalogue
from guerdon.adapters.postgres.api_keys import PostgresApiKeys
from guerdon.adapters.postgres.catalogue import PostgresOfferReader
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.adapters.redis.changes import NoChangePublisher
from guerdon.adapters.redis.offers import NoOfferShelf
from guerdon.controlplane.api_keys import ApiKeys
from guerdon.controlplane.offers import Offers
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.domain.offers import Discount, DiscountType, Offer, OfferDraft, OfferStatus
from guerdon.domain.written_offers import WrittenOffer
from guerdon.ports import OfferReader, OfferShelf
from guerdon.telemetry import PrometheusMetrics
from tests.support.ledger import new_id

PEPPER = b"a pepper that is used by tests only"


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def now() -> datetime:
    return datetime.now(UTC)


def metrics() -> PrometheusMetrics:
    return PrometheusMetrics(CollectorRegistry())


def make_catalogue(
    database: Database,
    *,
    reader: OfferReader | None = None,
    shelf: OfferShelf | None = None,
    clock: Clock | None = None,
) -> Catalogue:
    return Catalogue(
        reader or PostgresOfferReader(database),
        shelf or NoOfferShelf(),
        clock or Clock(),
        metrics(),
    )


def make_offers(database: Database) -> Offers:
    catalogue = make_catalogue(database)
    return Offers(PostgresOffers(database), catalogue, NoChangePublisher(), now, new_id)


def make_keys(database: Database) -> ApiKeys:
    return ApiKeys(PostgresApiKeys(database), NoChangePublisher(), PEPPER, now, os.urandom)


def draft(tenant_id: TenantId, **fields: Any) -> OfferDraft:
    """An active offer of 10 % for everyone and everything, unless `fields` say otherwise."""
    beside = {
        name: fields.pop(name)
        for name in ("allowed_customers", "allowed_roles", "internal_note")
        if name in fields
    }
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "offer_id": OfferId(new_id()),
        "version": 1,
        "status": OfferStatus.ACTIVE,
        "discount": Discount(DiscountType.PERCENTAGE, bps=1000),
        "currency": "NGN",
    }
    return OfferDraft(offer=Offer(**(values | fields)), **beside)


def written(**fields: Any) -> WrittenOffer:
    """An active offer of 10 % as an admin writes it."""
    values: dict[str, Any] = {
        "title": "Ten percent",
        "status": "active",
        "discount_type": "percentage",
        "discount_value": 10,
    }
    return WrittenOffer(**(values | fields))


async def wait_until_blocked(database_url: str, sessions: int) -> None:
    """Until so many sessions of the database wait for a lock. Looks from a connection of its own,
    as a transaction sees one snapshot of that."""
    connection = await asyncpg.connect(database_url)
    query = """
        select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
    """
    try:
        async with asyncio.timeout(10):
            while await connection.fetchval(query) < sessions:
                await connection.execute("select pg_sleep(0.005)")
    finally:
        await connection.close()
