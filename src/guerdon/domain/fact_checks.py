"""What a push may say beyond the form of its messages. Paths are those of the protos."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

from guerdon import limits
from guerdon.domain.errors import FieldViolation
from guerdon.domain.facts import (
    ActivityDay,
    CustomerFacts,
    ProductFacts,
    SupplierFacts,
    Transaction,
)
from guerdon.domain.money import EXPONENTS

_FUTURE = timedelta(days=limits.FACTS_FUTURE_DAYS_MAX)


def check_customers(customers: Sequence[CustomerFacts], now: datetime) -> list[FieldViolation]:
    """Times of activity that are still to come, and blank roles."""
    return [
        violation
        for index, customer in enumerate(customers)
        for violation in _check_customer(customer, f"customers[{index}]", now)
    ]


def _check_customer(customer: CustomerFacts, path: str, now: datetime) -> Iterator[FieldViolation]:
    if customer.last_active_at is not None:
        yield from _check_moment(customer.last_active_at, f"{path}.last_active_time", now)
    for index, role in enumerate(customer.roles):
        if not role.strip():
            yield FieldViolation(f"{path}.roles[{index}]", "must not be blank")


def check_transactions(transactions: Sequence[Transaction], now: datetime) -> list[FieldViolation]:
    """Unknown currencies, and times that are still to come."""
    return [
        violation
        for index, transaction in enumerate(transactions)
        for violation in (
            *_check_currency(transaction.currency, f"transactions[{index}].currency"),
            *_check_moment(transaction.occurred_at, f"transactions[{index}].occurred_time", now),
        )
    ]


def check_activities(activities: Sequence[ActivityDay], now: datetime) -> list[FieldViolation]:
    """Days that are still to come."""
    return [
        violation
        for index, activity in enumerate(activities)
        for violation in _check_day(activity.day, f"activities[{index}].day", now)
    ]


def check_products(products: Sequence[ProductFacts]) -> list[FieldViolation]:
    """Unknown currencies."""
    return [
        violation
        for index, product in enumerate(products)
        for violation in _check_currency(product.currency, f"products[{index}].currency")
    ]


def check_suppliers(suppliers: Sequence[SupplierFacts]) -> list[FieldViolation]:
    """Unknown currencies, and more links in all than one push may change."""
    links = sum(len(supplier.supplier_products) for supplier in suppliers)
    if links > limits.FACTS_ITEMS_MAX:
        text = f"has {links} supplier_products in all; at most {limits.FACTS_ITEMS_MAX}"
        return [FieldViolation("suppliers", text)]
    return [
        violation
        for index, supplier in enumerate(suppliers)
        for number, link in enumerate(supplier.supplier_products)
        for violation in _check_currency(
            link.currency, f"suppliers[{index}].supplier_products[{number}].currency"
        )
    ]


def _check_currency(currency: str | None, path: str) -> Iterable[FieldViolation]:
    if currency is not None and currency not in EXPONENTS:
        yield FieldViolation(path, "is not a currency that is known here (ISO 4217)")


def _check_moment(moment: datetime, path: str, now: datetime) -> Iterable[FieldViolation]:
    if moment > now + _FUTURE:
        yield _still_to_come(path)


def _check_day(day: date, path: str, now: datetime) -> Iterable[FieldViolation]:
    if day > (now + _FUTURE).date():
        yield _still_to_come(path)


def _still_to_come(path: str) -> FieldViolation:
    description = f"must be at most {limits.FACTS_FUTURE_DAYS_MAX} days from now"
    return FieldViolation(path, description)
