"""What the clients were told, held against the rows. Each check yields a sentence a violation.

The first line of a check's docstring says what must hold; it is what people read.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from uuid import UUID

import msgspec

from guerdon.api.offers.v1.offer_service_pb2 import RedeemResponse
from guerdon.api.offers.v1.redemption_pb2 import Redemption
from loadtests.history import (
    CODES,
    CUSTOMER_LIMIT,
    LIMIT_REASONS,
    PRODUCT_LIMIT,
    TOTAL_LIMIT,
    Answer,
    Attempt,
    History,
)

OfferAnd = tuple[UUID, UUID | None]


class Row(msgspec.Struct, frozen=True):
    """One redemption as the database has it."""

    request_id: UUID
    offer_id: UUID
    offer_version: int
    customer_id: UUID
    target_id: UUID | None
    product_id: UUID | None
    slot: int
    sequence: int
    customer_use: int
    currency: str
    list_minor: int
    discount_minor: int
    paid_minor: int
    revoked: bool


class Evidence(msgspec.Struct, dict=True):
    """The history, the rows in the order of their numbers, and the limits in force; the targets of
    a load test's offers are products."""

    history: History
    rows: list[Row]
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
    def live_uses(self) -> "Uses":
        """Of the rows that count in the end."""
        return Uses.of(row for row in self.rows if not row.revoked)

    @cached_property
    def sent_at(self) -> "defaultdict[tuple[str, UUID, UUID | None], list[float]]":
        """When each granted attempt was first sent, sorted, by each limit it counts against."""
        times: defaultdict[tuple[str, UUID, UUID | None], list[float]] = defaultdict(list)
        for row in self.rows:
            attempt = self.attempts.get(row.request_id)
            if attempt is None or not attempt.answers:
                continue
            sent = min(answer.sent_at for answer in attempt.answers)
            for key in limit_keys(row):
                times[key].append(sent)
        for sent_times in times.values():
            sent_times.sort()
        return times

    def limit(self, key: tuple[str, UUID, UUID | None]) -> int | None:
        """The limit that the key names; None is no limit."""
        reason, offer_id, other = key
        if reason == TOTAL_LIMIT:
            return self.total_limits.get(offer_id)
        if reason == CUSTOMER_LIMIT:
            return self.customer_limits.get(offer_id)
        return self.target_limits.get((offer_id, other))


class Uses(msgspec.Struct):
    """How many rows count against each limit."""

    counts: "Counter[tuple[str, UUID, UUID | None]]"

    @staticmethod
    def of(rows: Iterator[Row]) -> "Uses":
        return Uses(Counter(key for row in rows for key in limit_keys(row)))


def limit_keys(use: Row | Attempt) -> tuple[tuple[str, UUID, UUID | None], ...]:
    """The limits that a use counts against, each named by the refusal that it gives."""
    return (
        (TOTAL_LIMIT, use.offer_id, None),
        (CUSTOMER_LIMIT, use.offer_id, use.customer_id),
        (PRODUCT_LIMIT, use.offer_id, use.product_id),
    )


def grants_of(attempt: Attempt) -> list[Answer]:
    return [answer for answer in attempt.answers if answer.is_grant]


def first_grant_at(attempt: Attempt) -> float:
    """When the first OK arrived; infinity when none did."""
    return min((grant.answered_at for grant in grants_of(attempt)), default=float("inf"))


def check_grants_have_rows(evidence: Evidence) -> Iterator[str]:
    """Every OK has its row, equal in every field."""
    for attempt in evidence.history.attempts:
        for answer in grants_of(attempt)[:1]:
            row = evidence.rows_by_request.get(attempt.request_id)
            if row is None:
                yield f"request {attempt.request_id}: answered OK and has no row"
            elif differing := differing_fields(redemption_in(answer), row):
                yield f"request {attempt.request_id}: answer and row differ in {differing}"


def check_answers_of_one_id_are_equal(evidence: Evidence) -> Iterator[str]:
    """All OK answers of one request id are equal."""
    for attempt in evidence.history.attempts:
        bodies = {answer.body for answer in grants_of(attempt)}
        if len(bodies) > 1 and len({str(RedeemResponse.FromString(b)) for b in bodies}) > 1:
            yield f"request {attempt.request_id}: {len(bodies)} different OK answers"


def check_replays_say_so(evidence: Evidence) -> Iterator[str]:
    """An OK to a request that had been answered OK before says that it is a replay."""
    for attempt in evidence.history.attempts:
        granted_at = first_grant_at(attempt)
        for answer in grants_of(attempt):
            if answer.sent_at > granted_at and not answer.replayed:
                yield f"request {attempt.request_id}: granted again"


def check_rows_were_asked_for(evidence: Evidence) -> Iterator[str]:
    """Every row was asked for, with its offer, customer and product."""
    for row in evidence.rows:
        attempt = evidence.attempts.get(row.request_id)
        if attempt is None:
            yield f"request {row.request_id}: nobody sent it"
        elif limit_keys(attempt) != limit_keys(row):
            yield f"request {row.request_id}: the row is of another offer, customer or product"


def check_rows_were_told(evidence: Evidence) -> Iterator[str]:
    """Every attempt became definite, and each with a row was answered OK."""
    for attempt in evidence.history.attempts:
        if not attempt.is_definite:
            yield f"request {attempt.request_id}: no definite answer"
        elif attempt.request_id in evidence.rows_by_request and not grants_of(attempt):
            yield f"request {attempt.request_id}: refused, and has a row"


def check_no_refusal_after_a_grant(evidence: Evidence) -> Iterator[str]:
    """No request is refused that was sent again after its OK."""
    for attempt in evidence.history.attempts:
        granted_at = first_grant_at(attempt)
        for answer in attempt.answers:
            if answer.is_definite and not answer.is_grant and answer.sent_at > granted_at:
                yield f"request {attempt.request_id}: {answer.reason} after its OK"


def check_order_is_real_time(evidence: Evidence) -> Iterator[str]:
    """What was answered before something else was sent has the lower number."""
    earliest_answer, last = float("inf"), None
    for row in reversed(evidence.rows):
        if (row.offer_id, row.slot) != last:
            earliest_answer, last = float("inf"), (row.offer_id, row.slot)
        attempt = evidence.attempts.get(row.request_id)
        grants = grants_of(attempt) if attempt else []
        if attempt is None or not grants:
            continue
        if min(answer.sent_at for answer in attempt.answers) > earliest_answer:
            yield f"offer {row.offer_id}: number {row.sequence} was sent after a later was answered"
        earliest_answer = min(earliest_answer, *(grant.answered_at for grant in grants))


def check_refusals_were_true(evidence: Evidence) -> Iterator[str]:
    """No limit is said to be reached before enough uses had been asked for.

    Every counted use was sent before its limit was full, so at the time of the refusal at least as
    many of those that were granted in the end must have been sent. Holds where nothing is revoked.
    """
    for attempt in evidence.history.attempts:
        keys = {key[0]: key for key in limit_keys(attempt)}
        for answer in attempt.answers:
            if (key := keys.get(answer.reason)) is None:
                continue
            limit = evidence.limit(key)
            sent = bisect_right(evidence.sent_at[key], answer.answered_at)
            if limit is None or sent < limit:
                yield f"request {attempt.request_id}: {answer.reason} with {sent} of {limit} sent"


def check_nothing_is_left(evidence: Evidence) -> Iterator[str]:
    """Whoever was refused by a limit finds one that is full in the end."""
    used = evidence.live_uses.counts
    for attempt in evidence.history.attempts:
        if grants_of(attempt) or not any(a.reason in LIMIT_REASONS for a in attempt.answers):
            continue
        limits = [(used[key], evidence.limit(key)) for key in limit_keys(attempt)]
        if not any(limit is not None and count >= limit for count, limit in limits):
            yield f"request {attempt.request_id}: refused, though every limit has room: {limits}"


def check_goals_are_hit_exactly(evidence: Evidence) -> Iterator[str]:
    """Every limit for which demand was there is hit exactly."""
    used = evidence.live_uses.counts
    customers = defaultdict(set)
    for attempt in evidence.history.attempts:
        customers[attempt.offer_id].add(attempt.customer_id)
    for goal in evidence.history.goals:
        wanted: dict[tuple[str, UUID, UUID | None], int] = {}
        if goal.total is not None:
            wanted[TOTAL_LIMIT, goal.offer_id, None] = goal.total
        for target_id, uses in goal.targets.items():
            wanted[PRODUCT_LIMIT, goal.offer_id, target_id] = uses
        if goal.each_customer is not None:
            for customer_id in customers[goal.offer_id]:
                wanted[CUSTOMER_LIMIT, goal.offer_id, customer_id] = goal.each_customer
        for key, uses in wanted.items():
            if used[key] != uses:
                yield f"offer '{goal.name}', {key[0]}: {used[key]} uses instead of {uses}"


def check_errors_are_explained(evidence: Evidence) -> Iterator[str]:
    """Every error is one that a limit or a dependency gives, with exactly one ErrorInfo."""
    for attempt in evidence.history.attempts:
        for answer in attempt.answers:
            if answer.is_grant or answer.reason in LIMIT_REASONS:
                continue
            # A deadline or a lost connection is noticed by the client, which knows no reason.
            if answer.is_definite or (answer.body and not answer.reason):
                name = CODES[answer.code].name
                yield f"request {attempt.request_id}: {name} {answer.reason or 'without reason'}"


def check_request_ids_are_distinct(evidence: Evidence) -> Iterator[str]:
    """The clients sent no request id for two intents."""
    ids = sorted(attempt.request_id.int for attempt in evidence.history.attempts)
    for earlier, later in pairwise(ids):
        if earlier == later:
            yield f"request {UUID(int=later)} was made twice"


def redemption_in(answer: Answer) -> Redemption:
    return RedeemResponse.FromString(answer.body).redemption


def differing_fields(told: Redemption, row: Row) -> str:
    """Names of the fields in which an answer and its row differ; '' when there are none."""
    pairs = {
        "request_id": (told.request_id, str(row.request_id)),
        "offer_id": (told.offer_id, str(row.offer_id)),
        "offer_version": (told.offer_version, row.offer_version),
        "customer_id": (told.customer_id, str(row.customer_id)),
        "product_id": (told.line.product_id, str(row.product_id or "")),
        "slot": (told.slot, row.slot),
        "sequence": (told.sequence, row.sequence),
        "customer_use": (told.customer_use, row.customer_use),
        "currency": (told.currency, row.currency),
        "list_minor": (told.line.list_minor, row.list_minor),
        "discount_minor": (told.line.discount_minor, row.discount_minor),
        "paid_minor": (told.line.paid_minor, row.paid_minor),
    }
    return ", ".join(name for name, (one, other) in pairs.items() if one != other)


CLIENT_CHECKS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    check_grants_have_rows,
    check_answers_of_one_id_are_equal,
    check_replays_say_so,
    check_rows_were_asked_for,
    check_rows_were_told,
    check_no_refusal_after_a_grant,
    check_order_is_real_time,
    check_refusals_were_true,
    check_nothing_is_left,
    check_goals_are_hit_exactly,
    check_errors_are_explained,
    check_request_ids_are_distinct,
)
