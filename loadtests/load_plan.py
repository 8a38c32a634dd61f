"""What the load test asks for: offers with every kind of limit, and three times their uses."""

import random
from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

import msgspec
from google.protobuf.json_format import ParseDict
from uuid_utils.compat import uuid7

from guerdon.api.admin.v1.offer_pb2 import Offer
from loadtests.admin import Admin
from loadtests.history import Goal

DEMAND = 3
# Of a hundred attempts, how many are made in another way than once.
AGAIN_PERCENT = 15
IMPATIENT_PERCENT = 8
TWINS_PERCENT = 8
# Customers of the mixed offer who want it all for themselves, and how much more than the others.
GREEDY_CUSTOMERS = 10
GREEDY_WEIGHT = 8


class Manner(StrEnum):
    """How an attempt is made. Each is repeated until its answer is definite."""

    PLAIN = "plain"
    AGAIN = "again"
    """Sent once more after the definite answer, whatever it was."""
    IMPATIENT = "impatient"
    """First with a deadline that nobody can keep, so that its outcome is not known."""
    TWINS = "twins"
    """Sent twice at the same time."""


class Wish(msgspec.Struct, frozen=True):
    """One attempt to come."""

    offer_id: UUID
    customer_id: UUID
    product_id: UUID | None
    manner: Manner


class LoadPlan(msgspec.Struct, frozen=True):
    """Offers that exist, what of them must be used in the end, and who asks in which order."""

    goals: list[Goal]
    wishes: list[Wish]


def make_plan(admin: Admin, scale: int, chance: random.Random) -> LoadPlan:
    """Creates four offers; `scale` 1 asks about 5,000 times."""
    makers = (plan_total, plan_per_customer, plan_products, plan_mixed)
    goals, wishes = [], []
    for maker in makers:
        goal, asked = maker(admin, scale, chance)
        goals.append(goal)
        wishes += [
            Wish(goal.offer_id, customer, product, choose_manner(chance))
            for customer, product in asked
        ]
    chance.shuffle(wishes)
    return LoadPlan(goals, wishes)


Asked = list[tuple[UUID, UUID | None]]


def plan_total(admin: Admin, scale: int, chance: random.Random) -> tuple[Goal, Asked]:
    """A total limit alone, and customers who come again."""
    total = 500 * scale
    offer_id = admin.create_offer(written_offer("a total limit", total=total))
    customers = new_ids(total)
    return (
        Goal(offer_id, "a total limit", total=total),
        [(chance.choice(customers), None) for _ in range(total * DEMAND)],
    )


def plan_per_customer(admin: Admin, scale: int, _chance: random.Random) -> tuple[Goal, Asked]:
    """A limit for each customer alone, which every customer tries to exceed."""
    limit = 2
    name = "a limit for each customer"
    offer_id = admin.create_offer(written_offer(name, per_customer=limit))
    customers = new_ids(200 * scale)
    return (
        Goal(offer_id, name, total=limit * len(customers), each_customer=limit),
        [(customer, None) for customer in customers for _ in range(limit * DEMAND)],
    )


def plan_products(admin: Admin, scale: int, _chance: random.Random) -> tuple[Goal, Asked]:
    """Products with limits of their own."""
    limits = dict.fromkeys(new_ids(3), 100 * scale)
    name = "limits for each product"
    offer_id = admin.create_offer(written_offer(name, products=limits))
    return (
        Goal(offer_id, name, total=sum(limits.values()), targets=limits),
        [(uuid7(), product) for product, limit in limits.items() for _ in range(limit * DEMAND)],
    )


def plan_mixed(admin: Admin, scale: int, chance: random.Random) -> tuple[Goal, Asked]:
    """All limits at once. The two scarce products run out long before the total does."""
    total, per_customer = 500 * scale, 3
    scarce, plenty = new_ids(2), uuid7()
    limits: dict[UUID, int | None] = dict.fromkeys(scarce, 50 * scale)
    offer = written_offer(
        "all limits at once",
        total=total,
        per_customer=per_customer,
        products={**limits, plenty: None},
    )
    goal = Goal(
        admin.create_offer(offer),
        "all limits at once",
        total=total,
        targets=dict.fromkeys(scarce, 50 * scale),
    )
    customers = new_ids(400 * scale)
    weights = [GREEDY_WEIGHT if n < GREEDY_CUSTOMERS * scale else 1 for n in range(len(customers))]
    asking = chance.choices(customers, weights, k=total * DEMAND)
    products = chance.choices([*scarce, plenty], [1, 1, 2], k=total * DEMAND)
    return goal, list(zip(asking, products, strict=True))


def written_offer(
    title: str,
    *,
    total: int | None = None,
    per_customer: int | None = None,
    products: dict[UUID, int] | dict[UUID, int | None] | None = None,
) -> Offer:
    """10 % off, by code only, so that it comes up by itself nowhere."""
    written: dict[str, object] = {
        "title": f"Load test: {title}",
        "code": f"LOAD-{uuid7().hex[-12:]}",
        "status": "active",
        "discountType": "percentage",
        "discountValue": 10,
    }
    if total is not None:
        written["totalUsageLimit"] = total
    if per_customer is not None:
        written["perUserLimit"] = per_customer
    if products:
        written["applyTo"] = "operator_product"
        written["products"] = [
            {"productId": str(product)} | ({} if limit is None else {"maxUses": limit})
            for product, limit in products.items()
        ]
    return ParseDict(written, Offer())


def choose_manner(chance: random.Random) -> Manner:
    point = chance.randrange(100)
    for manner, percent in (
        (Manner.AGAIN, AGAIN_PERCENT),
        (Manner.IMPATIENT, IMPATIENT_PERCENT),
        (Manner.TWINS, TWINS_PERCENT),
    ):
        if point < percent:
            return manner
        point -= percent
    return Manner.PLAIN


def new_ids(count: int) -> Sequence[UUID]:
    return [uuid7() for _ in range(count)]
