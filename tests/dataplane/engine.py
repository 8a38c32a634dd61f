"""The data plane on a real Postgres and Redis, without gRPC in front of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from guerdon.adapters.catalogue.catalogue import Catalogue
from guerdon.adapters.postgres.catalogue import PostgresOfferReader
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.adapters.redis.admission import RedisAdmission
from guerdon.adapters.redis.breaker import Breaker
from guerdon.adapters.redis.offers import NoOfferShelf
from guerdon.dataplane.applicable import ApplicableOffers
from guerdon.dataplane.check_eligibility import CheckEligibility
from guerdon.dataplane.observer import Observer
from guerdon.dataplane.quote import Quote
from guerdon.dataplane.redeem import Redeem
from guerdon.dataplane.revoke import Revoke
from guerdon.domain.identifiers import CustomerId, OfferId, RequestId, TenantId
from guerdon.domain.offers import OfferReference
from guerdon.domain.redemption import Line, RedeemCommand
from guerdon.domain.refusals import Refused
from guerdon.telemetry import PrometheusMetrics
from tests.support.ledger import new_id

SECONDS = 10.0


@dataclass
class Engine:
    """One server's data plane. `clock_offset` puts its wall clock out."""

    redeem: Redeem
    revoke: Revoke
    check_eligibility: CheckEligibility
    quote: Quote
    catalogue: Catalogue
    admission: RedisAdmission
    store: PostgresRedemptions
    clock_offset: timedelta = timedelta()

    async def outcome(self, command: RedeemCommand) -> str:
        """What became of the command, as one word."""
        try:
            granted = await self.redeem(command, SECONDS)
        except Refused as refused:
            return refused.refusal.reason.name
        return "REPLAYED" if granted.replayed else "GRANTED"


@asynccontextmanager
async def open_engine(
    database: Database, redis_url: str, store: PostgresRedemptions | None = None
) -> AsyncIterator[Engine]:
    """The data plane; where nobody listens at the URL, it works without Redis."""
    metrics = PrometheusMetrics(CollectorRegistry())
    async with Redis.from_url(redis_url, protocol=2) as redis:
        store = store or PostgresRedemptions(database)
        catalogue = Catalogue(
            PostgresOfferReader(database), NoOfferShelf(), time.monotonic, metrics
        )
        admission = RedisAdmission(redis, Breaker(time.monotonic, metrics))
        places = asyncio.Semaphore(4)
        observer = Observer(store, places, metrics)
        applicable = ApplicableOffers(catalogue, observer, lambda: now())
        redeem = Redeem(catalogue, admission, store, places, metrics, lambda: now())
        engine = Engine(
            redeem,
            Revoke(store, admission),
            CheckEligibility(catalogue, observer, lambda: now()),
            Quote(catalogue, observer, applicable, lambda: now()),
            catalogue,
            admission,
            store,
        )
        now: Callable[[], datetime] = lambda: datetime.now(UTC) + engine.clock_offset  # noqa: E731
        yield engine
        await redeem.close()
        await observer.close()
        await admission.close()
        await catalogue.close()


def command(
    tenant_id: TenantId,
    offer: OfferId | str,
    *,
    customer_id: UUID | None = None,
    request_id: UUID | None = None,
    quantity: int = 1,
    unit_price_minor: int = 1000,
    expected_paid_minor: int | None = None,
    order_ref: str | None = None,
    currency: str = "NGN",
) -> RedeemCommand:
    """A Redeem of one piece at 10.00, of an offer by id or by normalised code."""
    if isinstance(offer, str):
        reference = OfferReference(code=offer)
    else:
        reference = OfferReference(offer_id=offer)
    return RedeemCommand(
        tenant_id=tenant_id,
        request_id=RequestId(request_id or new_id()),
        offer=reference,
        customer_id=CustomerId(customer_id or new_id()),
        line=Line(None, quantity, unit_price_minor),
        currency=currency,
        order_ref=order_ref,
        expected_paid_minor=expected_paid_minor,
    )
