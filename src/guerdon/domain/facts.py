"""What other systems tell of customers, their transactions, and what is sold.

Facts arrive in any order and more than once. What is None is not known, and replaces what was.
"""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from guerdon.domain.identifiers import CustomerId, ProductId
from guerdon.domain.products import ProductKind


class CustomerStatus(StrEnum):
    """Whether a customer may use offers at all."""

    ACTIVE = "active"
    BLOCKED = "blocked"


class CustomerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A customer as the account system knows it; `roles` are all of them.

    A customer is known, for the rules, once this was pushed. `last_active_at` also counts as
    activity on its day, and never goes back.
    """

    customer_id: CustomerId
    external_ref: str | None = None
    status: CustomerStatus = CustomerStatus.ACTIVE
    created_at: datetime | None = None
    last_active_at: datetime | None = None
    roles: tuple[str, ...] = ()


class TransactionKind(StrEnum):
    """What a transaction was for."""

    TOPUP = "topup"
    PURCHASE = "purchase"
    OTHER = "other"


class TransactionStatus(StrEnum):
    """How a transaction went: pending -> succeeded or failed, succeeded -> reversed.

    Only SUCCEEDED counts for rules.
    """

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REVERSED = "reversed"


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A payment or top-up. All but the status is said once and for all by the first push of its id.

    `amount_minor` is in minor units of `currency`; only the tenant's currency counts for spend.
    """

    transaction_id: str
    customer_id: CustomerId
    kind: TransactionKind
    status: TransactionStatus
    operator_id: UUID | None = None
    product_id: ProductId | None = None
    amount_minor: int
    currency: str
    occurred_at: datetime


class ActivityDay(msgspec.Struct, frozen=True):
    """A day of the tenant's zone on which the customer was active without a transaction."""

    customer_id: CustomerId
    day: date


class ProductFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A product of the catalogue. Prices are minor units of `currency`; None: the tenant's.

    `names` are texts by locale (BCP 47); one piece has `unit_quantity` of `unit_name`.
    """

    product_id: ProductId
    kind: ProductKind
    sku: str | None = None
    operator_id: UUID | None = None
    category_id: UUID | None = None
    names: Mapping[str, str] = {}
    unit_name: str | None = None
    unit_quantity: float | None = None
    list_price_minor: int | None = None
    cost_minor: int | None = None
    currency: str | None = None
    stock_quantity: int | None = None
    active: bool = True
    deleted: bool = False


class OperatorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An operator, for example a mobile network."""

    operator_id: UUID
    name: str
    deleted: bool = False


class SupplierProductFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A product as one supplier delivers it; `cost_minor` in minor units of `currency`, or None for
    the tenant's. The product need not be known yet."""

    supplier_product_id: UUID
    product_id: ProductId
    supplier_sku: str | None = None
    cost_minor: int | None = None
    currency: str | None = None
    deleted: bool = False


class SupplierFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A supplier and products that it delivers. Links that are not listed stay as they are, those
    of a deleted supplier too."""

    supplier_id: UUID
    name: str
    supplier_products: tuple[SupplierProductFacts, ...] = ()
    deleted: bool = False


class PushCounts(msgspec.Struct, frozen=True):
    """What a push changed, in different items: they add up to the number of different ids."""

    inserted: int
    updated: int
    unchanged: int


class ProductsPushed(msgspec.Struct, frozen=True):
    """What a push of products or of their suppliers changed.

    `facts_versions` holds the products whose facts are different now, with their new version.
    """

    counts: PushCounts
    facts_versions: Mapping[ProductId, int]
