"""A redemption, from what the caller asks to what is counted."""

import hashlib
from datetime import datetime
from enum import StrEnum

import msgspec

from guerdon.domain.identifiers import (
    CustomerId,
    OfferId,
    ProductId,
    RequestId,
    TargetId,
    TenantId,
)
from guerdon.domain.offers import OfferReference, ServiceType

_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Line(msgspec.Struct, frozen=True):
    """What is bought: `quantity` pieces at `unit_price_minor` each. No product means none in
    particular."""

    product_id: ProductId | None
    quantity: int
    unit_price_minor: int


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """One line of one purchase, as guards and prices look at it.

    `currency` is that of its amounts; `expected_paid_minor` refuses any other price
    (PRICE_CHANGED).
    """

    tenant_id: TenantId
    line: Line
    currency: str
    service_type: ServiceType = ServiceType.BOTH
    expected_paid_minor: int | None = None


class RedeemCommand(Purchase, frozen=True, kw_only=True):
    """One intent of one customer to use one offer for a purchase."""

    request_id: RequestId
    offer: OfferReference
    customer_id: CustomerId
    order_ref: str | None = None

    def body_hash(self) -> bytes:
        """SHA-256 (32 bytes) over the business fields that were said, each with its name.

        A field at its default is left out, so that one which is added later keeps the hash of a
        request that does not use it: a retry across an upgrade is still the same request.
        """
        line, offer = self.line, self.offer
        fields = (
            ("offer_id", offer.offer_id),
            ("code", offer.code),
            ("customer_id", self.customer_id),
            ("product_id", line.product_id),
            ("quantity", line.quantity),
            ("unit_price_minor", line.unit_price_minor),
            ("currency", self.currency),
            ("order_ref", self.order_ref),
            ("service_type", _unless(self.service_type, ServiceType.BOTH)),
            ("expected_paid_minor", self.expected_paid_minor),
        )
        said = [field for field in fields if field[1] is not None]
        return hashlib.sha256(_encode(said)).digest()


def _unless(value: ServiceType, default: ServiceType) -> ServiceType | None:
    return None if value is default else value


class Price(msgspec.Struct, frozen=True):
    """A priced line in minor units: list_minor == discount_minor + paid_minor, all >= 0."""

    list_minor: int
    discount_minor: int
    paid_minor: int


class PricedLine(msgspec.Struct, frozen=True):
    """A line with the price one offer version gives it, and by which of its targets (None: the
    whole offer).

    `product_facts_version` is the version of the product's facts that the price was made by; None
    where
    they did not matter.
    """

    price: Price
    target_id: TargetId | None = None
    target_max_uses: int | None = None
    product_facts_version: int | None = None


class RedemptionItem(msgspec.Struct, frozen=True):
    """A command that the guards let pass: ready to be counted by the offer version that priced
    it."""

    command: RedeemCommand
    body_hash: bytes
    offer_id: OfferId
    offer_version: int
    priced: PricedLine


class Redemption(msgspec.Struct, frozen=True, kw_only=True):
    """One counted use. (offer, slot, sequence) orders the effects on an offer without a gap.

    `customer_use` is the customer's how-manieth use of the offer, revoked ones included.
    """

    request_id: RequestId
    position: int
    offer_id: OfferId
    offer_version: int
    slot: int
    sequence: int
    customer_id: CustomerId
    customer_use: int
    line: Line
    price: Price
    currency: str
    order_ref: str | None
    redeemed_at: datetime
    revoked_at: datetime | None = None
    revoke_reason: str | None = None


class Granted(msgspec.Struct, frozen=True):
    """The answer to a command: its redemption, and whether it had been granted before."""

    redemption: Redemption
    replayed: bool


class RevokeOutcome(StrEnum):
    """What a revoke found."""

    REVOKED = "revoked"
    ALREADY_REVOKED = "already_revoked"
    TOMBSTONED = "tombstoned"
    """The request had not arrived; now it never redeems."""


class Revocation(msgspec.Struct, frozen=True):
    """The answer to a revoke; `redemption` is None for a tombstone."""

    request_id: RequestId
    outcome: RevokeOutcome
    revoked_at: datetime
    redemption: Redemption | None = None
