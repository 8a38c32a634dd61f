"""The offers of a lab run, made by the admin API before it begins."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from loadtests.admin import Admin
from loadtests.faults.wares import Kind, Ware
from loadtests.load_plan import new_ids, written_offer


class Stall(msgspec.Struct, frozen=True):
    """What an offer of a kind says, and how much of the demand is for it."""

    kind: Kind
    weight: int
    total: int | None = None
    each: int | None = None
    product_limits: tuple[int | None, ...] = ()


# Of every tenant: limits small enough to be met within seconds; the admin traffic moves them.
STALLS = (
    Stall(Kind.HOT, 26, total=200),
    Stall(Kind.EACH, 18, each=2),
    Stall(Kind.PRODUCTS, 16, product_limits=(40, 40, 40)),
    Stall(Kind.MIXED, 16, total=200, each=3, product_limits=(30, 30, None)),
    Stall(Kind.ORDERS, 10),
    Stall(Kind.FREE, 14),
)


def open_market(admin: Admin, tenant_id: UUID, stalls: Sequence[Stall] = STALLS) -> list[Ware]:
    """One active offer for each stall."""
    return [create_ware(admin, tenant_id, stall) for stall in stalls]


def create_ware(admin: Admin, tenant_id: UUID, stall: Stall) -> Ware:
    ids = new_ids(len(stall.product_limits))
    products = dict(zip(ids, stall.product_limits, strict=True))
    offer = written_offer(
        f"lab, {stall.kind}", total=stall.total, per_customer=stall.each, products=products
    )
    offer_id = admin.create_offer(offer)
    return Ware(tenant_id, offer_id, stall.kind, stall.weight, stall.total, stall.each, products)
