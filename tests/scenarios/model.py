"""Scenario files: given tenant, products and an offer, when a line is bought, then a price or a no.

A file says nothing of how it is run, so that the same one runs on the pure domain, on the SQL
function and over gRPC. Offers are written as an admin writes them. Times are relative to the moment
of the run ("-1 day", "+30 days"), because where Postgres decides, its clock does. Ids are UUIDs;
everything a file leaves out has the default of the struct below.
"""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import yaml

from guerdon.domain.offers import ServiceType
from guerdon.domain.products import ProductKind
from guerdon.domain.refusals import RefusalReason
from guerdon.domain.tenants import PriceSource, Rounding
from guerdon.domain.written_offers import WrittenOffer

FOLDER = Path(__file__).parent
_RELATIVE_TIME = re.compile(r"([+-])(\d+) (second|minute|hour|day)s?")


class GivenTenant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the tenant that owns the offer."""

    currency: str = "NGN"
    rounding: Rounding = Rounding.HALF_UP
    price_source: PriceSource = PriceSource.CALLER
    stock_limits: bool = False


class GivenSupplier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A supplier that sells the product, and its own id for it."""

    supplier_id: UUID
    supplier_product_id: UUID


class GivenProduct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts that were pushed of one product. A product without facts is not listed at all."""

    product_id: UUID
    kind: ProductKind = ProductKind.RETAIL
    suppliers: tuple[GivenSupplier, ...] = ()
    list_price_minor: int | None = None
    currency: str | None = None
    stock_quantity: int | None = None
    active: bool = True


class Bought(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The line of one redemption. Without a currency it is in the offer's."""

    product_id: UUID | None = None
    quantity: int = 1
    unit_price_minor: int
    currency: str | None = None
    service_type: ServiceType = ServiceType.BOTH
    expected_paid_minor: int | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price (all of list, discount and paid) or a refusal with the details that must be told."""

    list_minor: int | None = None
    discount_minor: int | None = None
    paid_minor: int | None = None
    refusal: str | None = None
    details: dict[str, str | int] = {}

    def __post_init__(self) -> None:
        prices = (self.list_minor, self.discount_minor, self.paid_minor)
        refused = self.refusal is not None
        if any((price is None) != refused for price in prices):
            raise ValueError("an outcome is a whole price or a refusal")
        if self.refusal is not None and self.refusal not in RefusalReason.__members__:
            raise ValueError(f"no reason {self.refusal}")


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One purchase and what comes of it. Steps do not depend on each other."""

    when: Bought
    then: Outcome


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One offer under one tenant, and purchases that try it."""

    name: str
    tenant: GivenTenant = GivenTenant()
    products: tuple[GivenProduct, ...] = ()
    offer: dict[str, Any]
    steps: tuple[Step, ...]

    def written_offer(self, now: datetime) -> WrittenOffer:
        """The offer as an admin would write it at `now`; an unknown field is an error."""
        fields = dict(self.offer)
        for bound in ("starts_at", "ends_at"):
            if bound in fields:
                fields[bound] = resolve_time(fields[bound], now)
        unknown = set(fields) - set(WrittenOffer.__struct_fields__)
        if unknown:
            raise ValueError(f"{self.name}: the offer has no {sorted(unknown)}")
        return msgspec.convert(fields, WrittenOffer)


def resolve_time(text: str, now: datetime) -> datetime:
    """The moment that "+30 days" or "-1 hour" means at `now`."""
    form = _RELATIVE_TIME.fullmatch(text)
    if form is None:
        raise ValueError(f"{text!r} is no relative time")
    sign, count, unit = form.groups()
    return now + timedelta(**{f"{unit}s": int(sign + count)})


def load_scenarios() -> list[tuple[str, Scenario]]:
    """All scenarios with a name for the test report, in a fixed order."""
    loaded = []
    for path in sorted(FOLDER.glob("*.yaml")):
        scenarios = msgspec.convert(yaml.safe_load(path.read_text("utf-8")), list[Scenario])
        loaded += [(f"{path.stem}: {scenario.name}", scenario) for scenario in scenarios]
    return loaded
