"""What the checks of a history read: the database's rows, and the clients' history by its ids."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from uuid import UUID

import msgspec

from guerdon.domain.offers import Offer, OfferDraft
from guerdon.domain.tenants import Tenant
from loadtests.history import (
    CUSTOMER_LIMIT,
    NOT_ACTIVE,
    ORDER_USED,
    PRODUCT_LIMIT,
    TOTAL_LIMIT,
    Answer,
    Attempt,
    History,
)

# Seconds after its sending in which an edit without an answer may still be made.
LATE_EDIT_SECONDS = 30.0

# What limits uses: the refusal that it gives, the offer, and whose uses are counted.
LimitKey = tuple[str, UUID, UUID | str | None]
OfferAnd = tuple[UUID, UUID | None]


class Row(msgspec.Struct, frozen=True, gc=False):
    """One redemption as the database has it."""

    request_id: UUID
    offer_id: UUID
    offer_version: int
    customer_id: UUID
    target_id: UUID | None
    product_id: UUID | None
    order_ref: str | None
    slot: int
    sequence: int
    customer_use: int
    currency: str
    quantity: int
    unit_price_minor: int
    list_minor: int
    discount_minor: int
    paid_minor: int
    revoked: bool


class Effect(msgspec.Struct, frozen=True, gc=False):
    """A revoke or an edit; a redemption's row is its own effect."""

    offer_id: UUID
    slot: int
    sequence: int
    request_id: UUID | None
    version: int


class Version(msgspec.Struct, frozen=True, dict=True):
    """An offer as one of its versions said it."""

    draft: OfferDraft

    @property
    def offer(self) -> Offer:
        return self.draft.offer

    @cached_property
    def target_limits(self) -> dict[UUID, int | None]:
        return {target.target_id: target.max_uses for target in self.offer.targets}

    def limit(self, key: LimitKey) -> int | None:
        """None is no limit. An order has one use, and an offer that is not active has none."""
        reason, _, other = key
        if reason == TOTAL_LIMIT:
            return self.offer.total_limit
        if reason == CUSTOMER_LIMIT:
            return self.offer.per_customer_limit
        if reason == PRODUCT_LIMIT and isinstance(other, UUID):
            return self.target_limits.get(other)
        if reason == ORDER_USED:
            return 1
        if reason == NOT_ACTIVE:
            return None if self.offer.status in ("active", "scheduled") else 0
        return None


class Evidence(msgspec.Struct, dict=True):
    """The history, the rows in the order of their numbers, what is not a redemption, and the
    limits in force; the targets of a load test's offers are products."""

    history: History
    rows: list[Row]
    effects: list[Effect]
    versions: Mapping[tuple[UUID, int], Version]
    tombstones: frozenset[UUID]
    tenant: Tenant
    total_limits: Mapping[UUID, int | None]
    customer_limits: Mapping[UUID, int | None]
    target_limits: Mapping[OfferAnd, int]

    @cached_property
    def attempts(self) -> dict[UUID, Attempt]:
        return {attempt.request_id: attempt for attempt in self.history.attempts}

    @cached_property
    def rows_by_request(self) -> dict[UUID, Row]:
        return {row.request_id: row for row in self.rows}

    @cached_property
    def live_uses(self) -> "Counter[LimitKey]":
        """Of the rows that count in the end."""
        return Counter(key for row in self.rows if not row.revoked for key in limit_keys(row))

    @cached_property
    def edit_times(self) -> dict[tuple[UUID, int], tuple[float, float]]:
        """When each version can have been written, by offer and version: sent and answered.

        An edit that changes nothing names the version that is there, and one without an answer may
        have written it, so the earliest of all that come into question counts.
        """
        lost: defaultdict[UUID, list[float]] = defaultdict(list)
        for edit in self.history.edits:
            if not edit.version:
                lost[edit.offer_id].append(edit.sent_at)
        times: dict[tuple[UUID, int], tuple[float, float]] = {}
        for edit in self.history.edits:
            if edit.version:
                key = (edit.offer_id, edit.version)
                since, until = times.get(key, (edit.sent_at, edit.answered_at))
                times[key] = min(since, edit.sent_at), min(until, edit.answered_at)
        for (offer_id, version), (since, until) in times.items():
            late = [at for at in lost[offer_id] if since - LATE_EDIT_SECONDS < at < since]
            times[offer_id, version] = min([since, *late]), until
        return times

    @cached_property
    def changed_offers(self) -> set[UUID]:
        """Those with a use given back or an edit: what was refused before may be granted now."""
        return {effect.offer_id for effect in self.effects}

    @cached_property
    def by_offer(self) -> "Mapping[tuple[UUID, int], list[Row | Effect]]":
        """All that took a number, in its order, by offer and slot."""
        found: defaultdict[tuple[UUID, int], list[Row | Effect]] = defaultdict(list)
        every: list[Row | Effect] = [*self.rows, *self.effects]
        for one in every:
            found[one.offer_id, one.slot].append(one)
        for numbered in found.values():
            numbered.sort(key=sequence_of)
        return found

    def limit(self, key: LimitKey) -> int | None:
        """The limit in the end; None is no limit."""
        reason, offer_id, other = key
        if reason == TOTAL_LIMIT:
            return self.total_limits.get(offer_id)
        if reason == CUSTOMER_LIMIT:
            return self.customer_limits.get(offer_id)
        return self.target_limits.get((offer_id, other)) if isinstance(other, UUID) else None


def sequence_of(one: Row | Effect) -> int:
    return one.sequence


def limit_keys(use: Row | Attempt) -> tuple[LimitKey, ...]:
    """The limits that a use counts against, each named by the refusal that it gives."""
    return (
        (TOTAL_LIMIT, use.offer_id, None),
        (CUSTOMER_LIMIT, use.offer_id, use.customer_id),
        (PRODUCT_LIMIT, use.offer_id, use.product_id),
        (ORDER_USED, use.offer_id, use.order_ref or None),
    )


def grants_of(attempt: Attempt) -> list[Answer]:
    """Every OK to a Redeem of this id, whatever its body."""
    return [answer for answer in (*attempt.answers, *attempt.others) if answer.is_grant]


def first_answered_at(answers: Iterable[Answer]) -> float:
    """When the first OK arrived; infinity when none did."""
    return min((answer.answered_at for answer in answers if answer.is_grant), default=float("inf"))


def is_other(attempt: Attempt, row: Row) -> bool:
    """Whether the row is what the second body of this id asked for."""
    return bool(attempt.other_quantity) and row.quantity == attempt.other_quantity
