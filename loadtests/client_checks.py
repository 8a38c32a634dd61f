"""What the clients were told, held against the rows. Each check yields a sentence a violation.

The first line of a check's docstring says what must hold; it is what people read.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from uuid import UUID

from guerdon.api.offers.v1.offer_service_pb2 import RedeemResponse, RevokeResponse
from guerdon.api.offers.v1.redemption_pb2 import RevokeOutcome
from guerdon.domain.identifiers import ProductId
from guerdon.domain.pricing import price_line
from guerdon.domain.redemption import Line
from loadtests.evidence import (
    Evidence,
    LimitKey,
    Row,
    first_answered_at,
    grants_of,
    is_other,
    limit_keys,
)
from loadtests.history import (
    CODES,
    CUSTOMER_LIMIT,
    ID_REUSED,
    LIMIT_REASONS,
    NOT_ACTIVE,
    ORDER_USED,
    PRODUCT_LIMIT,
    REVOKED_BEFORE,
    TOTAL_LIMIT,
    Attempt,
)
from loadtests.timeline import Timeline, timelines_of

TOMBSTONED = RevokeOutcome.REVOKE_OUTCOME_TOMBSTONED
REVOKED = RevokeOutcome.REVOKE_OUTCOME_REVOKED


def check_grants_have_rows(evidence: Evidence) -> Iterator[str]:
    """Every OK has its row, equal in every field."""
    for attempt in evidence.history.attempts:
        grants = grants_of(attempt)
        if not grants:
            continue
        row = evidence.rows_by_request.get(attempt.request_id)
        if row is None:
            yield f"request {attempt.request_id}: answered OK and has no row"
        elif differing := differing_fields(grants[0].body, row):
            yield f"request {attempt.request_id}: answer and row differ in {differing}"
        elif attempt.other_quantity:
            yield from answers_to_the_other_body(attempt, row)


def answers_to_the_other_body(attempt: Attempt, row: Row) -> Iterator[str]:
    """An OK to the body that the row is not of."""
    strangers = attempt.answers if is_other(attempt, row) else attempt.others
    if any(answer.is_grant for answer in strangers):
        yield f"request {attempt.request_id}: OK to a body that is not the row's"


def check_answers_of_one_id_are_equal(evidence: Evidence) -> Iterator[str]:
    """All OK answers of one request id are equal."""
    for attempt in evidence.history.attempts:
        bodies = {answer.body for answer in grants_of(attempt)}
        if len(bodies) > 1 and len({str(RedeemResponse.FromString(b)) for b in bodies}) > 1:
            yield f"request {attempt.request_id}: {len(bodies)} different OK answers"


def check_replays_say_so(evidence: Evidence) -> Iterator[str]:
    """An OK to a request that had been answered OK before says that it is a replay."""
    for attempt in evidence.history.attempts:
        grants = grants_of(attempt)
        granted_at = first_answered_at(grants)
        for answer in grants:
            if answer.sent_at > granted_at and not answer.replayed:
                yield f"request {attempt.request_id}: granted again"


def check_rows_were_asked_for(evidence: Evidence) -> Iterator[str]:
    """Every row was asked for, with its offer, customer, product and order."""
    for row in evidence.rows:
        attempt = evidence.attempts.get(row.request_id)
        if attempt is None or not (attempt.answers or attempt.others):
            yield f"request {row.request_id}: nobody sent it"
        elif limit_keys(attempt) != limit_keys(row):
            yield f"request {row.request_id}: the row is of another offer, customer or product"
        elif is_other(attempt, row) and not attempt.others:
            yield f"request {row.request_id}: the row is of a body that nobody sent"


def check_rows_were_told(evidence: Evidence) -> Iterator[str]:
    """Every attempt became definite, and each with a row was answered OK."""
    for attempt in evidence.history.attempts:
        answers = (*attempt.answers, *attempt.others)
        if not answers and attempt.revokes:
            # Its client was killed when it had revoked and not redeemed yet.
            continue
        if not any(answer.is_definite for answer in answers):
            yield f"request {attempt.request_id}: no definite answer"
        elif attempt.request_id in evidence.rows_by_request and not grants_of(attempt):
            yield f"request {attempt.request_id}: refused, and has a row"


def check_no_refusal_after_a_grant(evidence: Evidence) -> Iterator[str]:
    """No request is refused that was sent again after it was committed.

    It was committed by the time of its OK, and of the OK of whatever has a higher number.
    """
    committed = committed_by(evidence)
    for attempt in evidence.history.attempts:
        row = evidence.rows_by_request.get(attempt.request_id)
        known_at = first_answered_at(grants_of(attempt))
        answers = attempt.answers
        if row is not None:
            known_at = min(known_at, committed[row.request_id])
            answers = attempt.others if is_other(attempt, row) else attempt.answers
        for answer in answers:
            if answer.is_definite and not answer.is_grant and answer.sent_at > known_at:
                yield f"request {attempt.request_id}: {answer.reason} after it was committed"


def committed_by(evidence: Evidence) -> dict[UUID, float]:
    """The moment by which each row was there for sure."""
    found: dict[UUID, float] = {}
    for timeline in timelines_of(evidence).values():
        for one, latest in zip(timeline.numbered, timeline.latest, strict=True):
            if isinstance(one, Row):
                found[one.request_id] = latest
    return found


def check_order_is_real_time(evidence: Evidence) -> Iterator[str]:
    """What was answered before something else was sent has the lower number: redemptions, revokes
    and edits."""
    for timeline in timelines_of(evidence).values():
        following = [*timeline.latest[1:], float("inf")]
        for one, sent, earliest_answer in zip(
            timeline.numbered, timeline.sent, following, strict=True
        ):
            if sent > earliest_answer:
                yield (
                    f"offer {one.offer_id}: number {one.sequence} was sent after a later was"
                    " answered"
                )


def check_refusals_were_true(evidence: Evidence) -> Iterator[str]:
    """A limit is said to be reached only when it may have been, at some moment of the call; and an
    offer to be paused only when it may have been."""
    timelines: dict[UUID, Timeline] = {
        timeline.numbered[0].offer_id: timeline for timeline in timelines_of(evidence).values()
    }
    for attempt in evidence.history.attempts:
        keys: dict[str, LimitKey] = {key[0]: key for key in limit_keys(attempt)}
        keys[NOT_ACTIVE] = (NOT_ACTIVE, attempt.offer_id, None)
        for answer in (*attempt.answers, *attempt.others):
            if answer.is_grant or (key := keys.get(answer.reason)) is None:
                continue
            timeline = timelines.get(attempt.offer_id)
            was_true, found = (False, "nothing")
            if timeline is not None:
                was_true, found = timeline.was_full(key, answer)
            if not was_true:
                yield f"request {attempt.request_id}: {answer.reason} with {found}"


def check_revokes_hold(evidence: Evidence) -> Iterator[str]:
    """What a Revoke was told is so: given back once, or a tombstone; nobody else gave anything
    back."""
    for attempt in evidence.history.attempts:
        row = evidence.rows_by_request.get(attempt.request_id)
        outcomes = [outcome_in(answer.body) for answer in attempt.revokes if answer.is_grant]
        if attempt.revokes and not outcomes:
            yield f"request {attempt.request_id}: its revoke has no definite answer"
        if outcomes.count(REVOKED) > 1:
            yield f"request {attempt.request_id}: given back {outcomes.count(REVOKED)} times"
        if TOMBSTONED in outcomes and row is not None:
            yield f"request {attempt.request_id}: a tombstone, and has a row"
        if any(outcome != TOMBSTONED for outcome in outcomes) and not (row and row.revoked):
            yield f"request {attempt.request_id}: said to be revoked, and is not"
        if evidence.history.is_whole and row and row.revoked and not attempt.revokes:
            yield f"request {attempt.request_id}: revoked, and nobody asked for it"


def check_tombstones_were_asked_for(evidence: Evidence) -> Iterator[str]:
    """Every tombstone is of a request that somebody revoked."""
    if not evidence.history.is_whole:
        return
    for request_id in sorted(evidence.tombstones):
        attempt = evidence.attempts.get(request_id)
        if attempt is None or not attempt.revokes:
            yield f"request {request_id}: a tombstone that nobody asked for"


def check_prices_follow_from_their_version(evidence: Evidence) -> Iterator[str]:
    """Each discount is what the redemption's version of the offer gives, computed anew."""

    @lru_cache(maxsize=4096)
    def discount(
        offer_id: UUID, version: int, product_id: ProductId | None, quantity: int, price: int
    ) -> int | None:
        said = evidence.versions.get((offer_id, version))
        if said is None:
            return None
        targets = {target.product_id: target for target in said.offer.targets}
        line = Line(product_id, quantity, price)
        target = targets.get(product_id) if product_id is not None else None
        return price_line(said.offer, target, line, evidence.tenant).discount_minor

    for row in evidence.rows:
        product_id = None if row.product_id is None else ProductId(row.product_id)
        due = discount(
            row.offer_id, row.offer_version, product_id, row.quantity, row.unit_price_minor
        )
        if due != row.discount_minor:
            yield f"request {row.request_id}: {row.discount_minor} off instead of {due}"


def check_nothing_is_left(evidence: Evidence) -> Iterator[str]:
    """Whoever was refused by a limit finds one that is full in the end, where nothing was given
    back or edited."""
    used = evidence.live_uses
    for attempt in evidence.history.attempts:
        if grants_of(attempt) or not any(a.reason in LIMIT_REASONS for a in attempt.answers):
            continue
        if evidence.history.is_whole and attempt.offer_id in evidence.changed_offers:
            continue
        limits = [(used[key], evidence.limit(key)) for key in limit_keys(attempt)]
        if not any(limit is not None and count >= limit for count, limit in limits):
            yield f"request {attempt.request_id}: refused, though every limit has room: {limits}"


def check_goals_are_hit_exactly(evidence: Evidence) -> Iterator[str]:
    """Every limit for which demand was there is hit exactly."""
    used = evidence.live_uses
    customers = defaultdict(set)
    for attempt in evidence.history.attempts:
        customers[attempt.offer_id].add(attempt.customer_id)
    for goal in evidence.history.goals:
        wanted: dict[LimitKey, int] = {}
        if goal.total is not None:
            wanted[TOTAL_LIMIT, goal.offer_id, None] = goal.total
        for target_id, uses in goal.targets.items():
            wanted[PRODUCT_LIMIT, goal.offer_id, target_id] = uses
        if goal.each_customer is not None:
            for customer_id in goal.customers or customers[goal.offer_id]:
                wanted[CUSTOMER_LIMIT, goal.offer_id, customer_id] = goal.each_customer
        for key, uses in wanted.items():
            if used[key] != uses:
                yield f"offer '{goal.name}', {key[0]}: {used[key]} uses instead of {uses}"


def check_errors_are_explained(evidence: Evidence) -> Iterator[str]:
    """Every error is one that a limit, a dependency or the caller gives, with exactly one
    ErrorInfo."""
    edited = {edit.offer_id for edit in evidence.history.edits}
    for attempt in evidence.history.attempts:
        expected = {*LIMIT_REASONS}
        expected |= {ORDER_USED} if attempt.order_ref else set()
        expected |= {ID_REUSED} if attempt.others else set()
        expected |= {REVOKED_BEFORE} if attempt.revokes else set()
        expected |= {NOT_ACTIVE} if attempt.offer_id in edited else set()
        for answer in (*attempt.answers, *attempt.others, *attempt.revokes):
            if answer.is_grant or answer.reason in expected:
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


def outcome_in(body: bytes) -> int:
    return RevokeResponse.FromString(body).outcome


def differing_fields(body: bytes, row: Row) -> str:
    """Names of the fields in which an OK's answer and its row differ; '' when there are none."""
    told = RedeemResponse.FromString(body).redemption
    pairs = {
        "request_id": (told.request_id, str(row.request_id)),
        "offer_id": (told.offer_id, str(row.offer_id)),
        "offer_version": (told.offer_version, row.offer_version),
        "customer_id": (told.customer_id, str(row.customer_id)),
        "product_id": (told.line.product_id, str(row.product_id or "")),
        "order_ref": (told.order_ref, row.order_ref or ""),
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
    check_revokes_hold,
    check_tombstones_were_asked_for,
    check_prices_follow_from_their_version,
    check_nothing_is_left,
    check_goals_are_hit_exactly,
    check_errors_are_explained,
    check_request_ids_are_distinct,
)
