"""A tenant's settings, as far as deciding and pricing read them."""

from enum import StrEnum

import msgspec

from guerdon.domain.identifiers import TenantId


class Rounding(StrEnum):
    """How a fraction of a minor unit is rounded, once, at the end."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"
    DOWN = "down"


class PriceSource(StrEnum):
    """Whose unit price is the list price."""

    CALLER = "caller"
    CATALOGUE = "catalogue"
    """The product's own; a caller's other price is refused."""


class Tenant(msgspec.Struct, frozen=True):
    """One business. `time_zone` is an IANA name; `currency` an ISO 4217 code."""

    tenant_id: TenantId
    name: str
    currency: str
    time_zone: str
    rounding: Rounding
    price_source: PriceSource
    stock_limits: bool
    default_locale: str
