"""What is known of a product when a line is priced."""

from enum import StrEnum
from uuid import UUID

import msgspec

from guerdon.domain.identifiers import ProductId


class ProductKind(StrEnum):
    """What a product is, as its owner system says."""

    OPERATOR = "operator"
    RETAIL = "retail"
    SERVICE = "service"


class SupplierLink(msgspec.Struct, frozen=True):
    """A supplier that sells the product, and that supplier's own id for it."""

    supplier_id: UUID
    supplier_product_id: UUID


class Product(msgspec.Struct, frozen=True):
    """Facts of one product. `facts_version` grows with every change of them; 0 means the product
    is unknown."""

    product_id: ProductId
    facts_version: int
    kind: ProductKind | None = None
    operator_id: UUID | None = None
    suppliers: tuple[SupplierLink, ...] = ()
    list_price_minor: int | None = None
    currency: str | None = None
    stock_quantity: int | None = None
    active: bool = True
