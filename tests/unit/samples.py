"""Small valid things for unit tests, to be varied by keyword, and strategies that draw them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from guerdon import limits
from guerdon.domain.identifiers import OfferId, ProductId, TenantId
from guerdon.domain.offers import (
    BuyGet,
    Discount,
    DiscountType,
    Offer,
    OfferKind,
    OfferStatus,
    Target,
)
from guerdon.domain.products import Product
from guerdon.domain.redemption import Line, PricedLine, Purchase
from guerdon.domain.refusals import Refusal
from guerdon.domain.tenants import PriceSource, Rounding, Tenant

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TENANT_ID = TenantId(UUID(int=1))
OFFER_ID = OfferId(UUID(int=2))
PRODUCT_ID = ProductId(UUID(int=3))
OWN = Target(product_id=PRODUCT_ID, discount_bps=100)
LINKED = Target(supplier_product_id=UUID(int=20), discount_bps=200)
SUPPLIER = Target(supplier_id=UUID(int=30), discount_bps=300)


def make_tenant(**changes: Any) -> Tenant:
    defaults: dict[str, Any] = {
        "tenant_id": TENANT_ID,
        "name": "Example",
        "currency": "NGN",
        "time_zone": "Africa/Lagos",
        "rounding": Rounding.HALF_UP,
        "price_source": PriceSource.CALLER,
        "stock_limits": False,
        "default_locale": "en",
    }
    return Tenant(**defaults | changes)


def percent_off(bps: int) -> Discount:
    return Discount(DiscountType.PERCENTAGE, bps=bps)


def make_offer(**changes: Any) -> Offer:
    """An active offer of 10 % on everything, for ever."""
    defaults: dict[str, Any] = {
        "tenant_id": TENANT_ID,
        "offer_id": OFFER_ID,
        "version": 1,
        "status": OfferStatus.ACTIVE,
        "discount": percent_off(1000),
        "currency": "NGN",
    }
    return Offer(**defaults | changes)


def make_line(quantity: int = 1, unit_price_minor: int = 10_000, **changes: Any) -> Line:
    defaults: dict[str, Any] = {"product_id": PRODUCT_ID}
    return Line(**defaults | {"quantity": quantity, "unit_price_minor": unit_price_minor} | changes)


def make_purchase(line: Line | None = None, **changes: Any) -> Purchase:
    defaults: dict[str, Any] = {
        "tenant_id": TENANT_ID,
        "line": line or make_line(),
        "currency": "NGN",
    }
    return Purchase(**defaults | changes)


def make_product(**changes: Any) -> Product:
    defaults: dict[str, Any] = {"product_id": PRODUCT_ID, "facts_version": 7}
    return Product(**defaults | changes)


quantities = st.integers(1, 60) | st.integers(1, limits.QUANTITY_PIECES_MAX)
unit_prices = st.integers(0, 400) | st.integers(0, limits.UNIT_PRICE_MINOR_MAX)
percentages = st.integers(0, 10_000)
groups = st.integers(1, 7)
tenants = st.sampled_from(Rounding).map(lambda rounding: make_tenant(rounding=rounding))
lines = st.builds(make_line, quantities, unit_prices)

discounts = (
    percentages.map(percent_off)
    | unit_prices.map(lambda minor: Discount(DiscountType.FIXED_AMOUNT, minor=minor))
    | unit_prices.map(lambda minor: Discount(DiscountType.FIXED_PRICE, minor=minor))
)
buy_gets = st.builds(BuyGet, groups, groups, percentages, st.none() | groups)
caps = st.none() | st.integers(1, 1000)

simple_offers = st.builds(
    lambda discount, group, cap: make_offer(
        discount=discount, offer_quantity=group, max_discount_minor=cap
    ),
    discounts,
    groups,
    caps,
)
bogo_offers = st.builds(
    lambda buy_get, cap: make_offer(
        kind=OfferKind.BOGO,
        discount=Discount(DiscountType.BUY_X_GET_Y),
        buy_get=buy_get,
        max_discount_minor=cap,
    ),
    buy_gets,
    caps,
)
offers = simple_offers | bogo_offers

targets = st.none() | st.builds(
    lambda own, group: Target(product_id=PRODUCT_ID, offer_quantity=group, **own),
    st.just({})
    | unit_prices.map(lambda minor: {"fixed_price_minor": minor})
    | percentages.map(lambda bps: {"discount_bps": bps}),
    groups,
)


def refusal_of(decision: PricedLine | Refusal) -> Refusal:
    assert isinstance(decision, Refusal)
    return decision


def priced(decision: PricedLine | Refusal) -> PricedLine:
    assert isinstance(decision, PricedLine)
    return decision
