"""An offer as one of its versions says it: the compiled form that the cache keeps and the guards
read."""

import unicodedata
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec

from guerdon.domain.identifiers import CustomerId, OfferId, TargetId, TenantId


class OfferKind(StrEnum):
    """What an offer is about. Bundles and carts come with combination."""

    PRODUCT = "product"
    BOGO = "bogo"


class OfferStatus(StrEnum):
    """Where an offer stands; the window narrows `scheduled` and `active` further."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    """Redeems from its start on, like `active`: nobody has to flip it at that moment."""
    ACTIVE = "active"
    PAUSED = "paused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


REDEEMABLE_STATUSES = frozenset({OfferStatus.SCHEDULED, OfferStatus.ACTIVE})


class DiscountType(StrEnum):
    """How the discount is made."""

    PERCENTAGE = "percentage"
    FIXED_AMOUNT = "fixed_amount"
    FIXED_PRICE = "fixed_price"
    BUY_X_GET_Y = "buy_x_get_y"


class ServiceType(StrEnum):
    """How the goods reach the customer."""

    DELIVERY = "delivery"
    PICKUP = "pickup"
    BOTH = "both"


class ProductScope(StrEnum):
    """Which products an offer is for."""

    ALL = "all"
    OPERATOR_PRODUCTS = "operator_products"
    """Every product of kind operator."""
    SUPPLIER_PRODUCTS = "supplier_products"
    """Every product that some supplier sells."""
    LISTED = "listed"
    """The offer's targets."""


class AudienceMode(StrEnum):
    """Who may have the offer, before rules are asked."""

    EVERYONE = "everyone"
    LISTED = "listed"
    """The union of listed customers and listed roles."""


class EligibilityLogic(StrEnum):
    """How rule results combine; no rules under either means nothing to fail."""

    ALL = "all"
    ANY = "any"


class Discount(msgspec.Struct, frozen=True):
    """`bps` for percentage (basis points, 0 to 10,000); `minor` for fixed_amount and
    fixed_price."""

    type: DiscountType
    bps: int | None = None
    minor: int | None = None


class BuyGet(msgspec.Struct, frozen=True):
    """Of every `buy_quantity + get_quantity` pieces, `get_quantity` have `get_discount_bps` off."""

    buy_quantity: int
    get_quantity: int
    get_discount_bps: int = 10_000
    groups_max: int | None = None


class Target(msgspec.Struct, frozen=True):
    """One product, supplier's product or supplier that an offer lists: exactly one of the three
    ids is set.

    Its own price or percentage wins over the offer's discount and holds for whole groups of
    `offer_quantity` pieces. `max_uses` counts redemption lines of this target.
    """

    product_id: UUID | None = None
    supplier_product_id: UUID | None = None
    supplier_id: UUID | None = None
    fixed_price_minor: int | None = None
    discount_bps: int | None = None
    offer_quantity: int = 1
    max_quantity_per_purchase: int | None = None
    max_uses: int | None = None

    @property
    def target_id(self) -> TargetId:
        """The one id that is set."""
        target = self.product_id or self.supplier_product_id or self.supplier_id
        assert target is not None
        return TargetId(target)


class Rule(msgspec.Struct, frozen=True):
    """One eligibility condition. `params` are as the rule catalogue keeps them: amounts in minor
    units."""

    rule_key: str
    rule_type: str
    params: dict[str, Any]
    description: str = ""


class Translation(msgspec.Struct, frozen=True):
    """What customers read, in one locale (BCP 47)."""

    title: str
    description: str = ""


class Offer(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One version of one offer. Amounts are minor units of `currency`; a limit of None is no limit.

    Who is listed in its audience stays in Postgres, which alone judges customers.
    """

    tenant_id: TenantId
    offer_id: OfferId
    version: int
    kind: OfferKind = OfferKind.PRODUCT
    status: OfferStatus
    code: str | None = None
    discount: Discount
    offer_quantity: int = 1
    buy_get: BuyGet | None = None
    max_discount_minor: int | None = None
    currency: str
    priority: int = 0
    auto_apply: bool = False
    service_type: ServiceType = ServiceType.BOTH
    product_scope: ProductScope = ProductScope.ALL
    targets: tuple[Target, ...] = ()
    audience_mode: AudienceMode = AudienceMode.EVERYONE
    eligibility_logic: EligibilityLogic = EligibilityLogic.ALL
    rules: tuple[Rule, ...] = ()
    total_limit: int | None = None
    per_customer_limit: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    translations: dict[str, Translation] = {}
    deleted: bool = False

    @property
    def code_normalised(self) -> str | None:
        """The code as it is compared, or None."""
        return None if self.code is None else normalise_code(self.code)

    @cached_property
    def id_text(self) -> str:
        """The id as text, made once: a sold-out offer tells it to thousands."""
        return str(self.offer_id)

    @cached_property
    def targets_by_id(self) -> dict[UUID, Target]:
        """The targets by their id, made once: a cached offer may list a thousand."""
        return {target.target_id: target for target in self.targets}

    @cached_property
    def lists_suppliers(self) -> bool:
        """Whether any target is a supplier or a supplier's product."""
        return any(target.product_id is None for target in self.targets)

    @property
    def applies_by_itself(self) -> bool:
        """Whether the offer may be picked without being named."""
        return self.code is None or self.auto_apply


class OfferReference(msgspec.Struct, frozen=True):
    """How a caller names an offer: by id, or by code already normalised. Exactly one is set."""

    offer_id: OfferId | None = None
    code: str | None = None


class OfferDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What an admin writes: an offer's whole content but for what the system gives (version,
    times)."""

    offer: Offer
    allowed_customers: tuple[CustomerId, ...] = ()
    allowed_roles: tuple[str, ...] = ()
    internal_note: str = ""


def normalise_code(code: str) -> str:
    """The form in which codes are compared: NFKC, trimmed, case-folded (requirements, Codes)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", code).strip().casefold())
