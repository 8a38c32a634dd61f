"""An offer as an admin writes it, and the way there from the kept form.

The fields of these structs are named like those of the admin proto, so that they are the one place
where its names meet the domain's: violations name them, and an update mask names them too. Ids and
enumerations are text as it came, 0 and empty mean what the proto says, percentages and the discount
value are decimal (major units), and amounts called _minor are minor units.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from guerdon.domain import money
from guerdon.domain.offers import BuyGet, Offer, OfferDraft, ProductScope, Target, Translation
from guerdon.domain.rules import WrittenRule, write_rule
from guerdon.domain.tenants import Tenant

APPLY_TO_ALL = "all"
APPLY_TO_OPERATOR_PRODUCT = "operator_product"
APPLY_TO_SUPPLIER_PRODUCT = "supplier_product"


class WrittenTranslation(msgspec.Struct, frozen=True, kw_only=True):
    """Title and description in a language that is not the tenant's default."""

    locale: str = ""
    title: str = ""
    description: str = ""


class WrittenProduct(msgspec.Struct, frozen=True, kw_only=True):
    """One target: one of the three ids is not empty. An `offer_quantity` of 0 means 1."""

    product_id: str = ""
    supplier_product_id: str = ""
    supplier_id: str = ""
    price_override_minor: int | None = None
    offer_percentage: float | None = None
    offer_quantity: int = 0
    max_quantity_per_purchase: int | None = None
    max_uses: int | None = None


class WrittenBuyGet(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of buy_x_get_y. A percentage of 0 means 100: the got pieces are free."""

    buy_quantity: int = 0
    get_quantity: int = 0
    get_discount_percentage: float = 0
    groups_max: int | None = None


class WrittenOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What an admin says of an offer, without what the system gives (version, times, counts)."""

    code: str = ""
    title: str = ""
    description: str = ""
    translations: tuple[WrittenTranslation, ...] = ()
    internal_note: str = ""
    status: str = ""
    kind: str = ""
    discount_type: str = ""
    discount_value: float = 0
    max_discount_minor: int | None = None
    currency: str = ""
    priority: int = 0
    auto_apply: bool = False
    service_type: str = ""
    per_user_limit: int | None = None
    total_usage_limit: int | None = None
    apply_to: str = ""
    products: tuple[WrittenProduct, ...] = ()
    product_ids: tuple[str, ...] = ()
    audience_mode: str = ""
    allowed_customer_ids: tuple[str, ...] = ()
    allowed_roles: tuple[str, ...] = ()
    eligibility_logic: str = ""
    rules: tuple[WrittenRule, ...] = ()
    buy_x_get_y: WrittenBuyGet | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    offer_quantity: int = 0


def write_offer(draft: OfferDraft, tenant: Tenant) -> WrittenOffer:
    """The offer as an admin would write it: compile_offer gives the same draft for it."""
    offer = draft.offer
    others = dict(offer.translations)
    flat = others.pop(tenant.default_locale, Translation(title=""))
    return WrittenOffer(
        code=offer.code or "",
        title=flat.title,
        description=flat.description,
        translations=tuple(
            WrittenTranslation(locale=locale, title=text.title, description=text.description)
            for locale, text in others.items()
        ),
        internal_note=draft.internal_note,
        status=offer.status.value,
        kind=offer.kind.value,
        discount_type=offer.discount.type.value,
        discount_value=_write_discount_value(offer),
        max_discount_minor=offer.max_discount_minor,
        currency=offer.currency,
        priority=offer.priority,
        auto_apply=offer.auto_apply,
        service_type=offer.service_type.value,
        per_user_limit=offer.per_customer_limit,
        total_usage_limit=offer.total_limit,
        apply_to=_write_apply_to(offer),
        products=tuple(_write_product(target) for target in offer.targets),
        audience_mode=offer.audience_mode.value,
        allowed_customer_ids=tuple(str(customer_id) for customer_id in draft.allowed_customers),
        allowed_roles=draft.allowed_roles,
        eligibility_logic=offer.eligibility_logic.value,
        rules=tuple(write_rule(rule, tenant.currency) for rule in offer.rules),
        buy_x_get_y=None if offer.buy_get is None else _write_buy_get(offer.buy_get),
        starts_at=offer.starts_at,
        ends_at=offer.ends_at,
        offer_quantity=offer.offer_quantity,
    )


def _write_discount_value(offer: Offer) -> int | float:
    if offer.discount.bps is not None:
        return money.percent_from_bps(offer.discount.bps)
    if offer.discount.minor is not None:
        return money.major_from_minor(offer.discount.minor, offer.currency)
    return 0


def _write_apply_to(offer: Offer) -> str:
    match offer.product_scope:
        case ProductScope.ALL:
            return APPLY_TO_ALL
        case ProductScope.OPERATOR_PRODUCTS:
            return APPLY_TO_OPERATOR_PRODUCT
        case ProductScope.SUPPLIER_PRODUCTS:
            return APPLY_TO_SUPPLIER_PRODUCT
        case ProductScope.LISTED:
            by_supplier = offer.targets and all(
                target.product_id is None for target in offer.targets
            )
            return APPLY_TO_SUPPLIER_PRODUCT if by_supplier else APPLY_TO_OPERATOR_PRODUCT


def _write_product(target: Target) -> WrittenProduct:
    bps = target.discount_bps
    return WrittenProduct(
        product_id=_write_uuid(target.product_id),
        supplier_product_id=_write_uuid(target.supplier_product_id),
        supplier_id=_write_uuid(target.supplier_id),
        price_override_minor=target.fixed_price_minor,
        offer_percentage=None if bps is None else money.percent_from_bps(bps),
        offer_quantity=target.offer_quantity,
        max_quantity_per_purchase=target.max_quantity_per_purchase,
        max_uses=target.max_uses,
    )


def _write_uuid(identifier: UUID | None) -> str:
    return "" if identifier is None else str(identifier)


def _write_buy_get(terms: BuyGet) -> WrittenBuyGet:
    return WrittenBuyGet(
        buy_quantity=terms.buy_quantity,
        get_quantity=terms.get_quantity,
        get_discount_percentage=money.percent_from_bps(terms.get_discount_bps),
        groups_max=terms.groups_max,
    )
