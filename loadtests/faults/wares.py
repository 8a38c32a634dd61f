"""What is on offer in the lab and who asks for it: the offers, and draws of intents from a seed."""

import random
from enum import StrEnum
from uuid import UUID

import msgspec

from loadtests.faults.intents import Intent

# Of a hot offer: few enough that they come again, many enough that most are strangers.
HOT_CUSTOMERS = 400
# How often each customer asks for one use of what each may have, and each order for its one.
CUSTOMER_DEMAND = 3
ORDER_DEMAND = 2
# Customers, or orders, that ask at the same time.
WINDOW = 8
# Pieces that the other body of a request id asks for.
OTHER_QUANTITY = 3


class Kind(StrEnum):
    """Which limits an offer has."""

    HOT = "hot"
    """A total limit, which the admin traffic moves."""
    EACH = "each"
    """A limit for each customer."""
    PRODUCTS = "products"
    """A limit for each product."""
    MIXED = "mixed"
    """All of them."""
    ORDERS = "orders"
    """Once an order, and no other limit."""
    FREE = "free"
    """No limit at all."""


class Ware(msgspec.Struct, frozen=True):
    """One offer, and how much of the demand is for it."""

    tenant_id: UUID
    offer_id: UUID
    kind: Kind
    weight: int
    total: int | None = None
    each: int | None = None
    products: dict[UUID, int | None] = {}


class Demand:
    """Draws intents; the same from the same seed."""

    def __init__(self, wares: list[Ware], seed: str) -> None:
        self._wares = wares
        self._weights = [ware.weight for ware in wares]
        self.chance = random.Random(seed)
        self._pools = {ware.offer_id: self._ids(HOT_CUSTOMERS) for ware in wares}
        self._windows: dict[UUID, list[tuple[UUID, int]]] = {}

    def next(self, ware: Ware | None = None) -> Intent:
        """For one of the wares by weight, or for the given one."""
        ware = ware or self.chance.choices(self._wares, self._weights)[0]
        order_ref = ""
        if ware.kind is Kind.EACH:
            customer_id = self._from_window(ware.offer_id, (ware.each or 1) * CUSTOMER_DEMAND)
        else:
            customer_id = self.chance.choice(self._pools[ware.offer_id])
        if ware.kind is Kind.ORDERS:
            order_ref = f"order-{self._from_window(ware.offer_id, ORDER_DEMAND).hex[:12]}"
        product_id = self.chance.choice(list(ware.products)) if ware.products else None
        return Intent(
            self.new_id(),
            ware.tenant_id,
            ware.offer_id,
            customer_id,
            product_id,
            order_ref,
            other_quantity=OTHER_QUANTITY,
        )

    def new_id(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128), version=4)

    def _ids(self, count: int) -> list[UUID]:
        return [self.new_id() for _ in range(count)]

    def _from_window(self, offer_id: UUID, demand: int) -> UUID:
        """Somebody of those who ask now; who has asked often enough makes room for a new one."""
        window = self._windows.setdefault(offer_id, [])
        while len(window) < WINDOW:
            window.append((self.new_id(), demand))
        place = self.chance.randrange(WINDOW)
        found, left = window[place]
        if left == 1:
            del window[place]
        else:
            window[place] = (found, left - 1)
        return found
