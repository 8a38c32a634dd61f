"""Facts from their messages. Empty text and absent fields are what is not known: None."""

from collections.abc import Iterable
from datetime import date

from guerdon.api.admin.v1 import fact_pb2, fact_service_pb2
from guerdon.domain.errors import FieldsInvalid, FieldViolation
from guerdon.domain.facts import (
    ActivityDay,
    CustomerFacts,
    CustomerStatus,
    OperatorFacts,
    ProductFacts,
    PushCounts,
    SupplierFacts,
    SupplierProductFacts,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from guerdon.domain.identifiers import CustomerId, ProductId
from guerdon.domain.products import ProductKind
from guerdon.transport.values import read_optional_time, read_optional_uuid, read_time, read_uuid

CUSTOMER_STATUSES = {
    fact_pb2.CUSTOMER_STATUS_UNSPECIFIED: CustomerStatus.ACTIVE,
    fact_pb2.CUSTOMER_STATUS_ACTIVE: CustomerStatus.ACTIVE,
    fact_pb2.CUSTOMER_STATUS_BLOCKED: CustomerStatus.BLOCKED,
}
PRODUCT_KINDS = {
    fact_pb2.PRODUCT_KIND_OPERATOR: ProductKind.OPERATOR,
    fact_pb2.PRODUCT_KIND_RETAIL: ProductKind.RETAIL,
    fact_pb2.PRODUCT_KIND_SERVICE: ProductKind.SERVICE,
}
TRANSACTION_KINDS = {
    fact_pb2.TRANSACTION_KIND_TOPUP: TransactionKind.TOPUP,
    fact_pb2.TRANSACTION_KIND_PURCHASE: TransactionKind.PURCHASE,
    fact_pb2.TRANSACTION_KIND_OTHER: TransactionKind.OTHER,
}
TRANSACTION_STATUSES = {
    fact_pb2.TRANSACTION_STATUS_PENDING: TransactionStatus.PENDING,
    fact_pb2.TRANSACTION_STATUS_SUCCEEDED: TransactionStatus.SUCCEEDED,
    fact_pb2.TRANSACTION_STATUS_FAILED: TransactionStatus.FAILED,
    fact_pb2.TRANSACTION_STATUS_REVERSED: TransactionStatus.REVERSED,
}


def read_customer(message: fact_pb2.Customer) -> CustomerFacts:
    """A customer with all roles."""
    return CustomerFacts(
        customer_id=CustomerId(read_uuid(message.customer_id)),
        external_ref=message.external_ref or None,
        status=CUSTOMER_STATUSES[message.status],
        created_at=read_optional_time(message, "created_time"),
        last_active_at=read_optional_time(message, "last_active_time"),
        roles=tuple(message.roles),
    )


def read_product(message: fact_pb2.Product) -> ProductFacts:
    """A product of the catalogue."""
    return ProductFacts(
        product_id=ProductId(read_uuid(message.product_id)),
        kind=PRODUCT_KINDS[message.kind],
        sku=message.sku or None,
        operator_id=read_optional_uuid(message.operator_id),
        category_id=read_optional_uuid(message.category_id),
        names={name.locale: name.text for name in message.names},
        unit_name=message.unit_name or None,
        unit_quantity=message.unit_quantity or None,
        list_price_minor=message.list_price_minor if message.HasField("list_price_minor") else None,
        cost_minor=message.cost_minor if message.HasField("cost_minor") else None,
        currency=message.currency or None,
        stock_quantity=message.stock_quantity if message.HasField("stock_quantity") else None,
        active=message.active if message.HasField("active") else True,
        deleted=message.deleted,
    )


def read_operator(message: fact_pb2.Operator) -> OperatorFacts:
    """An operator."""
    return OperatorFacts(
        operator_id=read_uuid(message.operator_id), name=message.name, deleted=message.deleted
    )


def read_supplier(message: fact_pb2.Supplier) -> SupplierFacts:
    """A supplier with those of its products that are listed."""
    return SupplierFacts(
        supplier_id=read_uuid(message.supplier_id),
        name=message.name,
        supplier_products=tuple(map(_read_supplier_product, message.supplier_products)),
        deleted=message.deleted,
    )


def read_transaction(message: fact_pb2.Transaction) -> Transaction:
    """A payment or top-up."""
    product_id = read_optional_uuid(message.product_id)
    return Transaction(
        transaction_id=message.transaction_id,
        customer_id=CustomerId(read_uuid(message.customer_id)),
        kind=TRANSACTION_KINDS[message.kind],
        status=TRANSACTION_STATUSES[message.status],
        operator_id=read_optional_uuid(message.operator_id),
        product_id=None if product_id is None else ProductId(product_id),
        amount_minor=message.amount_minor,
        currency=message.currency,
        occurred_at=read_time(message.occurred_time),
    )


def read_activities(messages: Iterable[fact_pb2.Activity]) -> list[ActivityDay]:
    """Days of activity. Raises FieldsInvalid for days that no calendar has, such as 31 February."""
    days: list[ActivityDay] = []
    violations: list[FieldViolation] = []
    for index, message in enumerate(messages):
        try:
            day = date.fromisoformat(message.day)
        except ValueError:
            path = f"activities[{index}].day"
            violations.append(FieldViolation(path, "is not a day of the calendar"))
        else:
            days.append(ActivityDay(CustomerId(read_uuid(message.customer_id)), day))
    if violations:
        raise FieldsInvalid(violations)
    return days


def write_counts(counts: PushCounts) -> fact_service_pb2.PushCounts:
    """What a push changed."""
    return fact_service_pb2.PushCounts(
        inserted_count=counts.inserted,
        updated_count=counts.updated,
        unchanged_count=counts.unchanged,
    )


def _read_supplier_product(message: fact_pb2.SupplierProduct) -> SupplierProductFacts:
    return SupplierProductFacts(
        supplier_product_id=read_uuid(message.supplier_product_id),
        product_id=ProductId(read_uuid(message.product_id)),
        supplier_sku=message.supplier_sku or None,
        cost_minor=message.cost_minor if message.HasField("cost_minor") else None,
        currency=message.currency or None,
        deleted=message.deleted,
    )
