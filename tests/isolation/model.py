"""What may come of two calls, by one rule: some serial order of them explains everything.

A plain model of redeem, edit and revoke, one after the other, with names in place of ids. It shares
no code with the product.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

MAIN = "main"
OTHER = "other"
DISCOUNT_MINOR = 100


@dataclass(frozen=True)
class Redeem:
    """One piece at 10.00 with 10 % off, priced by version 1 of the offer."""

    request: str
    customer: str = "ada"
    offer: str = MAIN
    order: str = ""
    product: str = ""


@dataclass(frozen=True)
class Edit:
    """Version 2 of the main offer: another limit, or paused."""

    total_limit: int | None = None
    paused: bool = False


@dataclass(frozen=True)
class Revoke:
    """Of whatever the request redeemed, or of nothing yet."""

    request: str


Action = Redeem | Edit | Revoke


@dataclass(frozen=True)
class Terms:
    """What version 1 of each offer says; a product's limit is that of each listed product."""

    total_limit: int | None = None
    customer_limit: int | None = None
    product_limit: int | None = None


@dataclass(frozen=True)
class Row:
    """A redemption as the table holds it; without a redeem it is a tombstone."""

    redeem: Redeem | None
    revoked: bool = False


@dataclass(frozen=True)
class OfferState:
    """What the tables say of an offer."""

    version: int = 1
    counter_version: int = 1
    used: int = 0
    spent_minor: int = 0
    last_sequence: int = 0
    # (number, kind, request or version), in the order of the numbers.
    effects: tuple[tuple[int, str, str], ...] = ()
    # Customer -> (used, uses ever).
    customers: frozenset[tuple[str, int, int]] = frozenset()
    # Product -> uses, where there are any.
    products: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class Outcome:
    """The answers by session, and what the database holds."""

    answers: tuple[str, ...]
    offers: tuple[tuple[str, OfferState], ...]
    rows: frozenset[tuple[str, Row]]


@dataclass
class World:
    """The model's database. `apply` answers as the product names its outcomes."""

    terms: dict[str, Terms]
    versions: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: 1))
    rows: dict[str, Row] = field(default_factory=dict)
    effects: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def apply(self, action: Action) -> str:
        match action:
            case Redeem():
                return self._redeem(action)
            case Edit():
                return self._edit(action)
            case Revoke():
                return self._revoke(action)

    def _redeem(self, action: Redeem) -> str:
        known = self.rows.get(action.request)
        if known is not None:
            return _answer_known(known, action)
        if self.versions[action.offer] != 1:
            return "stale"
        refusal = self._refuse(action)
        if refusal:
            return refusal
        self.rows[action.request] = Row(action)
        self.effects[action.offer].append(("redeemed", action.request))
        return "granted"

    def _refuse(self, action: Redeem) -> str:
        terms, live = self.terms[action.offer], self._live(action.offer)
        if action.order and any(other.order == action.order for other in live):
            return "ORDER_ALREADY_USED"
        same_product = [other for other in live if other.product == action.product]
        same_customer = [other for other in live if other.customer == action.customer]
        if _is_full(len(live), terms.total_limit):
            return "TOTAL_LIMIT_REACHED"
        if action.product and _is_full(len(same_product), terms.product_limit):
            return "PRODUCT_LIMIT_REACHED"
        if _is_full(len(same_customer), terms.customer_limit):
            return "CUSTOMER_LIMIT_REACHED"
        return ""

    def _edit(self, action: Edit) -> str:
        if self.versions[MAIN] != 1:
            return "version passed"
        self.versions[MAIN] = 2
        self.terms[MAIN] = replace(self.terms[MAIN], total_limit=action.total_limit)
        self.effects[MAIN].append(("edited", "2"))
        return "edited"

    def _revoke(self, action: Revoke) -> str:
        known = self.rows.get(action.request)
        if known is None or known.redeem is None:
            self.rows[action.request] = Row(None, revoked=True)
            return "tombstoned"
        if known.revoked:
            return "already_revoked"
        self.rows[action.request] = Row(known.redeem, revoked=True)
        self.effects[known.redeem.offer].append(("revoked", action.request))
        return "revoked"

    def _live(self, offer: str) -> list[Redeem]:
        found = [row.redeem for row in self.rows.values() if row.redeem and not row.revoked]
        return [redeem for redeem in found if redeem.offer == offer]

    def state(self, offer: str) -> OfferState:
        live = self._live(offer)
        ever = [row.redeem for row in self.rows.values() if row.redeem]
        ever = [redeem for redeem in ever if redeem.offer == offer]
        customers = {redeem.customer for redeem in ever}
        products = {redeem.product for redeem in live if redeem.product}
        return OfferState(
            version=self.versions[offer],
            counter_version=self.versions[offer],
            used=len(live),
            spent_minor=len(live) * DISCOUNT_MINOR,
            last_sequence=len(self.effects[offer]),
            effects=tuple(
                (number, kind, name) for number, (kind, name) in enumerate(self.effects[offer], 1)
            ),
            customers=frozenset(
                (name, _count(live, "customer", name), _count(ever, "customer", name))
                for name in customers
            ),
            products=frozenset((name, _count(live, "product", name)) for name in products),
        )


def _answer_known(known: Row, action: Redeem) -> str:
    if known.redeem is None:
        return "REQUEST_REVOKED"
    return "replayed" if known.redeem == action else "REQUEST_ID_REUSED"


def _is_full(used: int, limit: int | None) -> bool:
    return limit is not None and used >= limit


def _count(redeems: Sequence[Redeem], attribute: str, value: str) -> int:
    return sum(getattr(redeem, attribute) == value for redeem in redeems)


def serial_outcome(
    terms: Terms, before: Sequence[Action], actions: Sequence[Action], order: Sequence[int]
) -> Outcome:
    """What comes of the actions in that order. One that is not in it was rolled back: the answer
    it had counts for nothing."""
    offers = offers_of(*before, *actions)
    world = World(dict.fromkeys(offers, terms))
    for action in before:
        world.apply(action)
    answers = ["rolled back"] * len(actions)
    for number in order:
        answers[number] = world.apply(actions[number])
    states = tuple((offer, world.state(offer)) for offer in offers)
    return Outcome(tuple(answers), states, frozenset(world.rows.items()))


def offers_of(*actions: Action) -> list[str]:
    """The offers that the actions name, the main one first."""
    named = [action.offer for action in actions if isinstance(action, Redeem)]
    return list(dict.fromkeys([MAIN, *named]))
