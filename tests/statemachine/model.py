"""What OfferService says of one tenant's offers, in plain Python: dicts, loops and no cleverness.

It shares no code with the product. Every answer is a dict of all fields of the response, or an
Error. Times are the database's: `now` is what the product told, and the model keeps the first.
"""

from dataclasses import dataclass, field
from typing import Any

UNIT_PRICE_MINOR = 10_000
CURRENCY = "NGN"
REDEEMED, REVOKED = 1, 2
NEWLY_REVOKED, ALREADY_REVOKED, TOMBSTONED = 1, 2, 3
# Reason -> the gRPC status of its error, of those that can occur here.
CODES = {
    "REQUEST_REVOKED": "FAILED_PRECONDITION",
    "REQUEST_ID_REUSED": "ALREADY_EXISTS",
    "OFFER_NOT_FOUND": "NOT_FOUND",
    "OFFER_NOT_ACTIVE": "FAILED_PRECONDITION",
    "CURRENCY_NOT_COVERED": "FAILED_PRECONDITION",
    "PRICE_CHANGED": "FAILED_PRECONDITION",
    "ORDER_ALREADY_USED": "ALREADY_EXISTS",
    "TOTAL_LIMIT_REACHED": "RESOURCE_EXHAUSTED",
    "CUSTOMER_LIMIT_REACHED": "RESOURCE_EXHAUSTED",
    "REDEMPTION_NOT_FOUND": "NOT_FOUND",
    "STATUS_TRANSITION_ILLEGAL": "FAILED_PRECONDITION",
}


@dataclass(frozen=True)
class Error:
    """A reason and its metadata; as data in a response, or as the error of a call."""

    reason: str
    metadata: dict[str, str]

    @property
    def code(self) -> str:
        return CODES[self.reason]


@dataclass(frozen=True)
class Body:
    """Everything of a Redeem but its request id."""

    offer_id: str
    by_code: bool
    customer_id: str
    quantity: int
    currency: str
    order_ref: str
    expected_paid_minor: int | None


@dataclass
class Offer:
    """One offer of so many percent off, which has a code and applies also by itself."""

    offer_id: str
    code: str
    percent: int = 10
    status: str = "active"
    version: int = 1
    total_limit: int | None = None
    customer_limit: int | None = None
    last_sequence: int = 0
    edits: list[int] = field(default_factory=list)


@dataclass
class Row:
    """A granted request: what was asked, what it was told, and whether it was taken back."""

    body: Body
    fields: dict[str, Any]
    revoke_time: int | None = None
    revoke_reason: str = ""
    revoke_sequence: int | None = None

    @property
    def is_live(self) -> bool:
        return self.revoke_sequence is None

    def present(self) -> dict[str, Any]:
        state = REDEEMED if self.is_live else REVOKED
        beside = {"revoke_time": self.revoke_time, "revoke_reason": self.revoke_reason}
        return {**self.fields, "state": state, **beside}


class Model:
    """A tenant. Methods are named after the RPCs and answer what those must answer."""

    def __init__(self) -> None:
        self.offers: dict[str, Offer] = {}
        self.rows: dict[str, Row] = {}
        # Request id -> when it was revoked, of what can never redeem.
        self.tombstones: dict[str, int] = {}

    # What the offer counts.

    def live_rows(self, offer_id: str) -> list[Row]:
        of_offer = [row for row in self.rows.values() if row.fields["offer_id"] == offer_id]
        return [row for row in of_offer if row.is_live]

    def uses_ever(self, offer_id: str, customer_id: str) -> int:
        return sum(
            row.fields["offer_id"] == offer_id and row.body.customer_id == customer_id
            for row in self.rows.values()
        )

    # Why not, in the order of precedence.

    def refusals_of_terms(self, offer: Offer, currency: str) -> list[Error]:
        named = {"offer_id": offer.offer_id}
        if offer.status != "active":
            return [Error("OFFER_NOT_ACTIVE", {**named, "status": offer.status})]
        if currency not in ("", CURRENCY):
            asked = {"requested": currency, "covered": CURRENCY}
            return [Error("CURRENCY_NOT_COVERED", {**named, **asked})]
        return []

    def refusals_of_use(self, offer: Offer, customer_id: str, order_ref: str = "") -> list[Error]:
        named = {"offer_id": offer.offer_id}
        live = self.live_rows(offer.offer_id)
        of_customer = [row for row in live if row.body.customer_id == customer_id]
        found = []
        if order_ref and any(row.body.order_ref == order_ref for row in live):
            found.append(Error("ORDER_ALREADY_USED", named))
        if offer.total_limit is not None and len(live) >= offer.total_limit:
            found.append(Error("TOTAL_LIMIT_REACHED", {**named, "limit": str(offer.total_limit)}))
        if offer.customer_limit is not None and len(of_customer) >= offer.customer_limit:
            limit = {"limit": str(offer.customer_limit)}
            found.append(Error("CUSTOMER_LIMIT_REACHED", {**named, **limit}))
        return found

    # The data plane.

    def redeem(self, request_id: str, body: Body, now: int) -> tuple[dict[str, Any] | Error, bool]:
        """The redemption or the refusal, and whether it was granted before."""
        named = {"request_id": request_id}
        if request_id in self.tombstones:
            return Error("REQUEST_REVOKED", named), False
        known = self.rows.get(request_id)
        if known is not None:
            if known.body != body:
                return Error("REQUEST_ID_REUSED", named), False
            return known.fields, True
        offer = self.offers.get(body.offer_id)
        if offer is None:
            return Error("OFFER_NOT_FOUND", {"offer_id": body.offer_id}), False
        line = price(offer, body.quantity)
        refusals = self.refusals_of_terms(offer, body.currency)
        if not refusals and body.expected_paid_minor not in (None, line["paid_minor"]):
            prices = {
                "expected_paid_minor": str(body.expected_paid_minor),
                "paid_minor": str(line["paid_minor"]),
            }
            refusals = [Error("PRICE_CHANGED", {"offer_id": offer.offer_id, **prices})]
        refusals += self.refusals_of_use(offer, body.customer_id, body.order_ref)
        if refusals:
            return refusals[0], False
        fields = self._grant(request_id, body, offer, line) | {"redeem_time": now}
        self.rows[request_id] = Row(body, fields)
        return fields, False

    def _grant(
        self, request_id: str, body: Body, offer: Offer, line: dict[str, Any]
    ) -> dict[str, Any]:
        offer.last_sequence += 1
        return {
            "request_id": request_id,
            "position": 0,
            "offer_id": offer.offer_id,
            "offer_version": offer.version,
            "customer_id": body.customer_id,
            "line": line,
            "currency": body.currency,
            "order_ref": body.order_ref,
            "slot": 0,
            "sequence": offer.last_sequence,
            "customer_use": self.uses_ever(offer.offer_id, body.customer_id) + 1,
            "state": 0,
            "revoke_time": None,
            "revoke_reason": "",
        }

    def revoke(self, request_id: str, reason: str, now: int) -> dict[str, Any]:
        row = self.rows.get(request_id)
        answer: dict[str, Any] = {"request_id": request_id}
        if row is None:
            revoke_time = self.tombstones.setdefault(request_id, now)
            beside = {"revoke_time": revoke_time, "redemption": None}
            return {**answer, "outcome": TOMBSTONED, **beside}
        outcome = NEWLY_REVOKED if row.is_live else ALREADY_REVOKED
        if row.is_live:
            offer = self.offers[row.fields["offer_id"]]
            offer.last_sequence += 1
            row.revoke_sequence = offer.last_sequence
            row.revoke_time, row.revoke_reason = now, reason
        redemption = row.present()
        return {
            **answer,
            "outcome": outcome,
            "revoke_time": row.revoke_time,
            "redemption": redemption,
        }

    def get_redemption(self, request_id: str) -> dict[str, Any] | Error:
        row = self.rows.get(request_id)
        if row is None:
            return Error("REDEMPTION_NOT_FOUND", {"request_id": request_id})
        return row.present()

    def list_redemptions(
        self, customer_id: str = "", offer_id: str = "", order_ref: str = ""
    ) -> list[dict[str, Any]]:
        """Of a customer, of an offer, or of an order with an offer; newest first."""
        found = [
            row
            for row in self.rows.values()
            if customer_id in ("", row.body.customer_id)
            and offer_id in ("", row.fields["offer_id"])
            and order_ref in ("", row.body.order_ref)
        ]
        newest = "sequence" if offer_id else "redeem_time"
        found.sort(key=lambda row: (row.fields[newest], row.fields["request_id"]), reverse=True)
        return [row.present() for row in found]

    def check_eligibility(
        self, offer_id: str, customer_id: str, currency: str
    ) -> dict[str, Any] | Error:
        offer = self.offers.get(offer_id)
        if offer is None:
            return Error("OFFER_NOT_FOUND", {"offer_id": offer_id})
        refusals = self.refusals_of_terms(offer, currency)
        refusals += self.refusals_of_use(offer, customer_id)
        return {
            "eligible": not refusals,
            "refusals": refusals,
            "rule_results": [],
            "eligibility_logic": "all",
            "offer_id": offer_id,
            "offer_version": offer.version,
        }

    def quote(
        self, offer_id: str, customer_id: str, quantity: int, currency: str
    ) -> dict[str, Any] | Error:
        """With the named offer, or without one with the best; an empty customer is anyone."""
        refusals = []
        if offer_id:
            offer = self.offers.get(offer_id)
            if offer is None:
                return Error("OFFER_NOT_FOUND", {"offer_id": offer_id})
            refusals = self.refusals_of_terms(offer, currency)
            refusals = (refusals + self.refusals_of_use(offer, customer_id))[:1]
            applied = None if refusals else offer
        else:
            applied = next(iter(self.applicable(customer_id, currency)), None)
        rests_on = None
        if applied is not None:
            names = {"offer_id": applied.offer_id, "code": applied.code}
            rests_on = {**names, "offer_version": applied.version}
        return {
            "line": price(applied, quantity),
            "currency": currency,
            "applied_offer": rests_on,
            "notices": [],
            "refusals": refusals,
        }

    def list_applicable_offers(
        self, customer_id: str, quantity: int, currency: str
    ) -> dict[str, Any]:
        return {
            "offers": [
                {
                    "offer_id": offer.offer_id,
                    "code": offer.code,
                    "offer_version": offer.version,
                    "discount_value": offer.percent,
                    "original_price_minor": price(offer, quantity)["list_minor"],
                    "final_price_minor": price(offer, quantity)["paid_minor"],
                    "savings_minor": price(offer, quantity)["discount_minor"],
                }
                for offer in self.applicable(customer_id, currency)
            ],
            "currency": currency,
            "eligibility_evaluated": bool(customer_id),
        }

    def applicable(self, customer_id: str, currency: str) -> list[Offer]:
        """Never more than one, as only one offer is not cancelled."""
        return [
            offer
            for offer in self.offers.values()
            if not self.refusals_of_terms(offer, currency)
            and not self.refusals_of_use(offer, customer_id)
        ]

    # The control plane.

    def change_status(self, offer_id: str, status: str) -> Error | None:
        offer = self.offers[offer_id]
        if offer.status == "cancelled" and status != "cancelled":
            steps = {"from": offer.status, "to": status}
            return Error("STATUS_TRANSITION_ILLEGAL", {"offer_id": offer_id, **steps})
        self.edit(offer_id, status=status)
        return None

    def edit(self, offer_id: str, **changes: Any) -> None:
        """What changes nothing is no edit."""
        offer = self.offers[offer_id]
        if all(getattr(offer, name) == value for name, value in changes.items()):
            return
        for name, value in changes.items():
            setattr(offer, name, value)
        offer.version += 1
        offer.last_sequence += 1
        offer.edits.append(offer.last_sequence)


def price(offer: Offer | None, quantity: int) -> dict[str, Any]:
    """A line of pieces at 100.00; at list price without an offer."""
    listed = quantity * UNIT_PRICE_MINOR
    discount = 0 if offer is None else listed * offer.percent // 100
    return {
        "product_id": "",
        "quantity": quantity,
        "unit_price_minor": UNIT_PRICE_MINOR,
        "list_minor": listed,
        "discount_minor": discount,
        "paid_minor": listed - discount,
    }
