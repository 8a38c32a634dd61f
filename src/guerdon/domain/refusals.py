"""Refusals: definite business noes. The order of the members is the order of precedence, the same
in redeem_v1.sql, in docs/errors.md and in the tests: of several reasons a caller hears the first.

What a refusal tells beside its reason is made here for every reason that more than one road may
answer, so that a program finds the same keys whichever road an answer took. The keys of all reasons
are in docs/errors.md.
"""

from datetime import UTC, datetime
from enum import IntEnum

import msgspec

from guerdon.domain.identifiers import ProductId, RequestId
from guerdon.domain.offers import Offer, OfferReference


class RefusalReason(IntEnum):
    """Why not. The numbers are those that the SQL functions answer; they are never reused."""

    REQUEST_REVOKED = 10
    """A revoke of this request id arrived first."""
    REQUEST_ID_REUSED = 11
    """The request id was granted with another body."""
    OFFER_NOT_FOUND = 20
    OFFER_NOT_ACTIVE = 21
    OFFER_NOT_STARTED = 22
    OFFER_ENDED = 23
    SERVICE_TYPE_NOT_COVERED = 24
    CURRENCY_NOT_COVERED = 30
    PRODUCT_NOT_COVERED = 31
    QUANTITY_TOO_LOW = 32
    QUANTITY_TOO_HIGH = 33
    OUT_OF_STOCK = 34
    """Only where the tenant says that stock limits."""
    AMOUNT_TOO_LARGE = 35
    PRICE_MISMATCH = 36
    PRICE_CHANGED = 37
    CUSTOMER_BLOCKED = 40
    NOT_IN_AUDIENCE = 41
    NOT_ELIGIBLE = 42
    ORDER_ALREADY_USED = 50
    TOTAL_LIMIT_REACHED = 51
    PRODUCT_LIMIT_REACHED = 52
    CUSTOMER_LIMIT_REACHED = 53


class Refusal(msgspec.Struct, frozen=True):
    """One no, with the values that its message names (never customer ids or other personal
    data)."""

    reason: RefusalReason
    details: dict[str, str | int] = {}


class Refused(Exception):
    """Carries a refusal out of a plane; transport alone turns it into a status."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason.name)
        self.refusal = refusal


def refuse(reason: RefusalReason, offer: Offer, **details: str | int) -> Refusal:
    """A no under an offer that is known: its id, then the details."""
    return Refusal(reason, {"offer_id": offer.id_text, **details})


def refuse_request(reason: RefusalReason, request_id: RequestId) -> Refusal:
    """A no because of what the request id was used for before."""
    return Refusal(reason, {"request_id": str(request_id)})


def refuse_unknown(reference: OfferReference) -> Refusal:
    """The offer that was asked for is not there. A code is not repeated: it may be a secret."""
    details: dict[str, str | int] = {}
    if reference.offer_id is not None:
        details["offer_id"] = str(reference.offer_id)
    return Refusal(RefusalReason.OFFER_NOT_FOUND, details)


def refuse_use(
    reason: RefusalReason,
    offer: Offer,
    *,
    product_id: ProductId | None = None,
    product_limit: int | None = None,
) -> Refusal:
    """A no by the offer's state, its customer, its order or its limits.

    `product_id` is what the line buys and `product_limit` the limit of the target that priced it:
    PRODUCT_LIMIT_REACHED alone tells them.
    """
    match reason:
        case RefusalReason.TOTAL_LIMIT_REACHED if offer.total_limit is not None:
            return refuse(reason, offer, limit=offer.total_limit)
        case RefusalReason.CUSTOMER_LIMIT_REACHED if offer.per_customer_limit is not None:
            return refuse(reason, offer, limit=offer.per_customer_limit)
        case RefusalReason.PRODUCT_LIMIT_REACHED if product_limit is not None:
            return refuse(reason, offer, product_id=str(product_id), limit=product_limit)
        case RefusalReason.OFFER_NOT_ACTIVE:
            return refuse(reason, offer, status=offer.status.value)
        case RefusalReason.OFFER_NOT_STARTED if offer.starts_at is not None:
            return refuse(reason, offer, starts_at=_rfc3339(offer.starts_at))
        case RefusalReason.OFFER_ENDED if offer.ends_at is not None:
            return refuse(reason, offer, ends_at=_rfc3339(offer.ends_at))
    return refuse(reason, offer)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
