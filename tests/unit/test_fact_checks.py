"""What a push may say: currencies that exist, times that are not far ahead, bounded links."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import msgspec

from guerdon.domain import fact_checks
from guerdon.domain.errors import FieldViolation
from guerdon.domain.facts import (
    ActivityDay,
    CustomerFacts,
    ProductFacts,
    SupplierFacts,
    SupplierProductFacts,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from guerdon.domain.identifiers import CustomerId, ProductId
from guerdon.domain.products import ProductKind
from guerdon.limits import FACTS_ITEMS_MAX

NOW = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
LATEST = NOW + timedelta(days=2)
TOO_LATE = LATEST + timedelta(microseconds=1)
ID = UUID(int=1)
TRANSACTION = Transaction(
    transaction_id="t-1", customer_id=CustomerId(ID), kind=TransactionKind.TOPUP,
    status=TransactionStatus.SUCCEEDED, amount_minor=1, currency="NGN", occurred_at=NOW,
)  # fmt: skip


def paths(violations: list[FieldViolation]) -> list[str]:
    return [violation.path for violation in violations]


def test_transactions_name_a_known_currency_and_a_time_that_has_come() -> None:
    def change(**fields: object) -> Transaction:
        return msgspec.structs.replace(TRANSACTION, **fields)

    good = [
        TRANSACTION,
        change(occurred_at=LATEST),
        change(occurred_at=datetime(1900, 1, 1, tzinfo=UTC)),
    ]
    assert fact_checks.check_transactions(good, NOW) == []
    bad = [*good, change(currency="XYZ"), change(occurred_at=TOO_LATE, currency="ngn")]
    assert paths(fact_checks.check_transactions(bad, NOW)) == [
        "transactions[3].currency", "transactions[4].currency", "transactions[4].occurred_time",
    ]  # fmt: skip


def test_days_of_activity_have_come() -> None:
    days = [date(2026, 11, 23), date(2026, 11, 24), date(1900, 1, 1)]
    activities = [ActivityDay(CustomerId(ID), day) for day in days]
    assert paths(fact_checks.check_activities(activities, NOW)) == ["activities[1].day"]


def test_customers_were_active_before_now_and_have_roles_with_a_name() -> None:
    customers = [
        CustomerFacts(customer_id=CustomerId(ID), last_active_at=LATEST, roles=("vip",)),
        CustomerFacts(customer_id=CustomerId(ID), last_active_at=TOO_LATE, roles=("vip", " ")),
    ]
    assert paths(fact_checks.check_customers(customers, NOW)) == [
        "customers[1].last_active_time", "customers[1].roles[1]",
    ]  # fmt: skip


def test_products_and_links_name_a_known_currency_or_none() -> None:
    product = ProductFacts(product_id=ProductId(ID), kind=ProductKind.RETAIL)
    products = [product, msgspec.structs.replace(product, currency="EURO")]
    assert paths(fact_checks.check_products(products)) == ["products[1].currency"]
    link = SupplierProductFacts(supplier_product_id=ID, product_id=ProductId(ID))
    links = (link, msgspec.structs.replace(link, currency="XXX"))
    supplier = SupplierFacts(supplier_id=ID, name="Acme", supplier_products=links)
    assert paths(fact_checks.check_suppliers([supplier])) == [
        "suppliers[0].supplier_products[1].currency"
    ]


def test_the_links_of_all_suppliers_of_a_push_are_bounded_together() -> None:
    link = SupplierProductFacts(supplier_product_id=ID, product_id=ProductId(ID))
    half = SupplierFacts(
        supplier_id=ID, name="Acme", supplier_products=(link,) * (FACTS_ITEMS_MAX // 2)
    )
    assert fact_checks.check_suppliers([half, half]) == []
    more = SupplierFacts(supplier_id=ID, name="One", supplier_products=(link,))
    assert paths(fact_checks.check_suppliers([half, more, half])) == ["suppliers"]
