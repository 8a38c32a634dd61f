"""A database in which an offer was used up, and what the clients saw of it: for audits to judge."""

import time
from uuid import UUID

import asyncpg
import grpc
import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import (  # type: ignore[import-untyped]  # The package ships no types.
    error_details_pb2,
    status_pb2,
)

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.api.offers.v1 import pricing_pb2, redemption_pb2
from guerdon.api.offers.v1.offer_service_pb2 import RedeemResponse
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.domain.offers import (
    Discount,
    DiscountType,
    Offer,
    OfferDraft,
    OfferStatus,
    ProductScope,
    Target,
)
from guerdon.domain.redemption import Redemption
from guerdon.domain.refusals import RefusalReason
from guerdon.ports import RedemptionAnswer
from loadtests.audit import Report, audit
from loadtests.history import NUMBERS, OK, Answer, Attempt, Goal, History
from tests.support.ledger import insert_tenant, item, new_id

TOTAL_LIMIT = 6
PER_CUSTOMER_LIMIT = 2
TARGET_LIMIT = 2
CUSTOMERS = 4
ROUNDS = 2
EXHAUSTED = NUMBERS[grpc.StatusCode.RESOURCE_EXHAUSTED]
UNAVAILABLE = NUMBERS[grpc.StatusCode.UNAVAILABLE]
TOTAL, CUSTOMER = "TOTAL_LIMIT_REACHED", "CUSTOMER_LIMIT_REACHED"


class Scene(msgspec.Struct):
    """A database in which an offer was used up, and what the clients saw of it."""

    database_url: str
    owner: asyncpg.Connection
    store: PostgresRedemptions
    offers: PostgresOffers
    draft: OfferDraft
    history: History

    async def audit(self) -> Report:
        return await audit(self.database_url, self.history)

    @property
    def offer_id(self) -> UUID:
        return self.draft.offer.offer_id

    @property
    def granted(self) -> list[Attempt]:
        return [attempt for attempt in self.history.attempts if attempt.answers[0].is_grant]

    @property
    def refused(self) -> list[Attempt]:
        return [attempt for attempt in self.history.attempts if not attempt.answers[0].is_grant]


async def use_up(database: Database, database_url: str, owner: asyncpg.Connection) -> Scene:
    """Four customers ask for 16 uses of six; one of the two products may be used twice."""
    tenant_id = await insert_tenant(owner)
    draft = two_product_offer(tenant_id)
    offers = PostgresOffers(database)
    await offers.create(draft, "test")
    limited, unlimited = (target.target_id for target in draft.offer.targets)
    goal = Goal(draft.offer.offer_id, "all limits", TOTAL_LIMIT, {limited: TARGET_LIMIT})
    history = History(tenant_id, [goal], [], is_whole=True)
    scene = Scene(database_url, owner, PostgresRedemptions(database), offers, draft, history)
    customers = [new_id() for _ in range(CUSTOMERS)]
    for customer_id in customers:
        for product_id in (limited, unlimited) * ROUNDS:
            await use_once(scene, customer_id, product_id)
    return scene


def two_product_offer(tenant_id: TenantId) -> OfferDraft:
    targets = (Target(product_id=new_id(), max_uses=TARGET_LIMIT), Target(product_id=new_id()))
    offer = Offer(
        tenant_id=tenant_id,
        offer_id=OfferId(new_id()),
        version=1,
        status=OfferStatus.ACTIVE,
        discount=Discount(DiscountType.PERCENTAGE, bps=1000),
        currency="NGN",
        product_scope=ProductScope.LISTED,
        targets=targets,
        total_limit=TOTAL_LIMIT,
        per_customer_limit=PER_CUSTOMER_LIMIT,
    )
    return OfferDraft(offer=offer)


async def use_once(scene: Scene, customer_id: UUID, product_id: UUID, version: int = 1) -> None:
    tenant_id = TenantId(scene.history.tenant_id)
    uses = item(
        tenant_id,
        OfferId(scene.offer_id),
        customer_id=customer_id,
        version=version,
        product_id=product_id,
        target_id=product_id,
        target_max_uses=next(
            target.max_uses
            for target in scene.draft.offer.targets
            if target.product_id == product_id
        ),
    )
    attempt = Attempt(uses.command.request_id, scene.offer_id, customer_id, product_id, [])
    scene.history.attempts.append(attempt)
    sent_at = time.monotonic()
    answered = await scene.store.redeem(tenant_id, [uses])
    attempt.answers.append(as_seen(answered.answers[0], sent_at))


def as_told(redemption: Redemption) -> redemption_pb2.Redemption:
    """What the audit reads of an answer."""
    return redemption_pb2.Redemption(
        request_id=str(redemption.request_id),
        offer_id=str(redemption.offer_id),
        offer_version=redemption.offer_version,
        customer_id=str(redemption.customer_id),
        line=pricing_pb2.PricedLine(
            product_id=str(redemption.line.product_id),
            list_minor=redemption.price.list_minor,
            discount_minor=redemption.price.discount_minor,
            paid_minor=redemption.price.paid_minor,
        ),
        currency=redemption.currency,
        order_ref=redemption.order_ref or "",
        slot=redemption.slot,
        sequence=redemption.sequence,
        customer_use=redemption.customer_use,
    )


def as_seen(answer: RedemptionAnswer, sent_at: float) -> Answer:
    """The answer as a client of the server would have recorded it."""
    now = time.monotonic()
    if isinstance(answer.outcome, Redemption):
        response = RedeemResponse(redemption=as_told(answer.outcome))
        return Answer(sent_at, now, OK, response.SerializeToString(), answer.replayed)
    assert isinstance(answer.outcome, RefusalReason)
    return Answer(sent_at, now, EXHAUSTED, status_of(answer.outcome.name))


def status_of(*reasons: str) -> bytes:
    details = []
    for reason in reasons:
        packed = AnyMessage()
        packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="guerdon"))
        details.append(packed)
    status: bytes = status_pb2.Status(code=EXHAUSTED, details=details).SerializeToString()
    return status


async def raise_total(scene: Scene, total: int) -> None:
    record = await scene.offers.find(TenantId(scene.history.tenant_id), OfferId(scene.offer_id))
    assert record is not None
    offer = msgspec.structs.replace(record.draft.offer, total_limit=total)
    edited = msgspec.structs.replace(record.draft, offer=offer)
    await scene.offers.replace(edited, current=record, changed_by="test")
