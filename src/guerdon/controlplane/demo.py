"""The demo tenant: a shop for air time and sweets in Lagos. All ids are fixed, so that the README
can name them."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from guerdon.domain.facts import (
    CustomerFacts,
    CustomerStatus,
    OperatorFacts,
    ProductFacts,
    SupplierFacts,
    SupplierProductFacts,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from guerdon.domain.identifiers import CustomerId, OfferId, ProductId, TenantId
from guerdon.domain.products import ProductKind
from guerdon.domain.rules import WrittenRule
from guerdon.domain.tenants import PriceSource, Rounding, Tenant
from guerdon.domain.written_offers import (
    WrittenBuyGet,
    WrittenOffer,
    WrittenProduct,
    WrittenTranslation,
)

SLUG: Final = "demo"


def _id(kind: int, number: int) -> UUID:
    return UUID(f"0190c8f2-0000-7000-8000-{kind:04d}0000{number:04d}")


TENANT: Final = Tenant(
    tenant_id=TenantId(_id(0, 1)),
    name="Demo",
    currency="NGN",
    time_zone="Africa/Lagos",
    rounding=Rounding.HALF_UP,
    price_source=PriceSource.CALLER,
    stock_limits=False,
    default_locale="en",
)

ADA: Final = CustomerId(_id(1, 1))
"""Opened her account two days ago and topped up three times: passes both rules of the sample."""
BOLA: Final = CustomerId(_id(1, 2))
"""A reseller for a year now: too old an account for the sample offer."""
CHIDI: Final = CustomerId(_id(1, 3))
"""Blocked."""

MTN: Final = _id(2, 1)
AIRTEL: Final = _id(2, 2)

MTN_1GB: Final = ProductId(_id(3, 1))
AIRTEL_500MB: Final = ProductId(_id(3, 2))
CHOCOLATE: Final = ProductId(_id(3, 3))
COFFEE: Final = ProductId(_id(3, 4))

WHOLESALE: Final = _id(4, 1)
WHOLESALE_CHOCOLATE: Final = _id(4, 2)

WELCOME_BONUS: Final = OfferId(_id(5, 1))
SAVE50: Final = OfferId(_id(5, 2))
TWO_CHOCOLATES: Final = OfferId(_id(5, 3))
THIRD_COFFEE: Final = OfferId(_id(5, 4))
FLASH: Final = OfferId(_id(5, 5))

OPERATORS: Final = (
    OperatorFacts(operator_id=MTN, name="MTN"),
    OperatorFacts(operator_id=AIRTEL, name="Airtel"),
)
SUPPLIERS: Final = (
    SupplierFacts(
        supplier_id=WHOLESALE,
        name="Lagos Wholesale",
        supplier_products=(
            SupplierProductFacts(
                supplier_product_id=WHOLESALE_CHOCOLATE,
                product_id=CHOCOLATE,
                supplier_sku="LW-CHOC",
                cost_minor=1500,
            ),
        ),
    ),
)
PRODUCTS: Final = (
    ProductFacts(
        product_id=MTN_1GB,
        kind=ProductKind.OPERATOR,
        sku="MTN-1GB",
        operator_id=MTN,
        names={"en": "MTN 1 GB"},
        list_price_minor=50_000,
    ),
    ProductFacts(
        product_id=AIRTEL_500MB,
        kind=ProductKind.OPERATOR,
        sku="AIRTEL-500MB",
        operator_id=AIRTEL,
        names={"en": "Airtel 500 MB"},
        list_price_minor=30_000,
    ),
    ProductFacts(
        product_id=CHOCOLATE,
        kind=ProductKind.RETAIL,
        sku="CHOC-100",
        names={"en": "Chocolate", "ar": "شوكولاتة"},
        unit_name="g",
        unit_quantity=100,
        list_price_minor=2495,
        stock_quantity=500,
    ),
    ProductFacts(
        product_id=COFFEE,
        kind=ProductKind.RETAIL,
        sku="COFFEE",
        names={"en": "Coffee"},
        list_price_minor=80_000,
    ),
)


def customers(now: datetime) -> list[CustomerFacts]:
    """Who they are, as of `now`."""
    return [
        CustomerFacts(customer_id=ADA, external_ref="ada", created_at=now - timedelta(days=2)),
        CustomerFacts(
            customer_id=BOLA,
            external_ref="bola",
            created_at=now - timedelta(days=365),
            roles=("reseller",),
        ),
        CustomerFacts(
            customer_id=CHIDI,
            external_ref="chidi",
            status=CustomerStatus.BLOCKED,
            created_at=now - timedelta(days=30),
        ),
    ]


def transactions(now: datetime) -> list[Transaction]:
    """Three top-ups of each of two customers in the last two days."""
    return [
        Transaction(
            transaction_id=f"demo-{name}-{number}",
            customer_id=customer_id,
            kind=TransactionKind.TOPUP,
            status=TransactionStatus.SUCCEEDED,
            operator_id=MTN,
            product_id=MTN_1GB,
            amount_minor=50_000,
            currency=TENANT.currency,
            occurred_at=now - timedelta(hours=6 * number),
        )
        for customer_id, name in ((ADA, "ada"), (BOLA, "bola"))
        for number in (1, 2, 3)
    ]


def offers(now: datetime) -> dict[OfferId, WrittenOffer]:
    """The sample offer of the requirements, one of each other kind, and one to race for."""
    return {
        WELCOME_BONUS: _welcome_bonus(now),
        SAVE50: WrittenOffer(
            title="50 naira off",
            code="SAVE50",
            status="active",
            discount_type="fixed_amount",
            discount_value=50,
            per_user_limit=5,
        ),
        TWO_CHOCOLATES: _two_chocolates(),
        THIRD_COFFEE: WrittenOffer(
            title="Buy 2 coffees, get 1",
            status="active",
            kind="bogo",
            discount_type="buy_x_get_y",
            buy_x_get_y=WrittenBuyGet(buy_quantity=2, get_quantity=1),
            product_ids=(str(COFFEE),),
            apply_to="operator_product",
        ),
        FLASH: WrittenOffer(
            title="Flash sale: 20 % for the first thousand",
            code="FLASH",
            status="active",
            discount_type="percentage",
            discount_value=20,
            per_user_limit=2,
            total_usage_limit=1000,
        ),
    }


def _welcome_bonus(now: datetime) -> WrittenOffer:
    """The sample of the requirements: everyone who passes its two rules, all operator products."""
    return WrittenOffer(
        title="MTN Welcome Bonus",
        status="active",
        discount_type="percentage",
        discount_value=10,
        per_user_limit=1,
        total_usage_limit=1000,
        apply_to="operator_product",
        starts_at=now,
        ends_at=now + timedelta(days=30),
        rules=(
            WrittenRule(
                rule_key="new_user_7d",
                rule_type="new_user",
                params={"account_age_days": 7},
                description="New users within 7 days of signup",
            ),
            WrittenRule(
                rule_key="3_topups_30d",
                rule_type="min_topups",
                params={"count": 3, "window_days": 30},
                description="Users with 3 or more topups in 30 days",
            ),
        ),
    )


def _two_chocolates() -> WrittenOffer:
    """A price for a quantity, in two languages, with limits of its target's own."""
    return WrittenOffer(
        title="2 chocolates for 39.95",
        translations=(WrittenTranslation(locale="ar", title="قطعتا شوكولاتة بسعر 39.95"),),
        status="active",
        discount_type="fixed_price",
        discount_value=39.95,
        offer_quantity=2,
        apply_to="operator_product",
        products=(
            WrittenProduct(
                product_id=str(CHOCOLATE),
                price_override_minor=3995,
                offer_quantity=2,
                max_quantity_per_purchase=20,
                max_uses=5000,
            ),
        ),
    )
