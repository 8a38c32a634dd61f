"""The audit of the load test finds nothing in a sound database, and every damage seeded into it."""

import copy
import time
from collections.abc import Callable
from uuid import UUID

import asyncpg
import grpc
import msgspec
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import (  # type: ignore[import-untyped]  # The package ships no types.
    error_details_pb2,
    status_pb2,
)

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.api.offers.v1.offer_service_pb2 import RedeemResponse
from guerdon.domain.identifiers import OfferId, RequestId, TenantId
from guerdon.domain.offers import (
    Discount,
    DiscountType,
    Offer,
    OfferDraft,
    OfferStatus,
    ProductScope,
    Target,
)
from guerdon.domain.redemption import Redemption
from guerdon.domain.refusals import RefusalReason
from guerdon.ports import RedemptionAnswer
from guerdon.transport.offer_messages import write_redemption
from loadtests.audit import Report, audit, audit_snapshot
from loadtests.history import NUMBERS, OK, Answer, Attempt, Goal, History
from tests.support.ledger import insert_tenant, item, new_id

TOTAL_LIMIT = 6
PER_CUSTOMER_LIMIT = 2
TARGET_LIMIT = 2
CUSTOMERS = 4
ROUNDS = 2
EXHAUSTED = NUMBERS[grpc.StatusCode.RESOURCE_EXHAUSTED]


class Scene(msgspec.Struct):
    """A database in which an offer was used up, and what the clients saw of it."""

    database_url: str
    owner: asyncpg.Connection
    store: PostgresRedemptions
    offers: PostgresOffers
    draft: OfferDraft
    history: History

    async def audit(self) -> Report:
        return await audit(self.database_url, self.history)

    @property
    def offer_id(self) -> UUID:
        return self.draft.offer.offer_id

    @property
    def granted(self) -> list[Attempt]:
        return [attempt for attempt in self.history.attempts if attempt.answers[0].is_grant]

    @property
    def refused(self) -> list[Attempt]:
        return [attempt for attempt in self.history.attempts if not attempt.answers[0].is_grant]


@pytest.fixture
async def scene(database: Database, database_url: str, owner: asyncpg.Connection) -> Scene:
    """Four customers ask for 16 uses of six; one of the two products may be used twice."""
    tenant_id = await insert_tenant(owner)
    draft = two_product_offer(tenant_id)
    offers = PostgresOffers(database)
    await offers.create(draft, "test")
    limited, unlimited = (target.target_id for target in draft.offer.targets)
    goal = Goal(draft.offer.offer_id, "all limits", TOTAL_LIMIT, {limited: TARGET_LIMIT})
    history = History(tenant_id, [goal], [])
    scene = Scene(database_url, owner, PostgresRedemptions(database), offers, draft, history)
    customers = [new_id() for _ in range(CUSTOMERS)]
    for customer_id in customers:
        for product_id in (limited, unlimited) * ROUNDS:
            await use_once(scene, customer_id, product_id)
    return scene


def two_product_offer(tenant_id: TenantId) -> OfferDraft:
    targets = (Target(product_id=new_id(), max_uses=TARGET_LIMIT), Target(product_id=new_id()))
    offer = Offer(
        tenant_id=tenant_id,
        offer_id=OfferId(new_id()),
        version=1,
        status=OfferStatus.ACTIVE,
        discount=Discount(DiscountType.PERCENTAGE, bps=1000),
        currency="NGN",
        product_scope=ProductScope.LISTED,
        targets=targets,
        total_limit=TOTAL_LIMIT,
        per_customer_limit=PER_CUSTOMER_LIMIT,
    )
    return OfferDraft(offer=offer)


async def use_once(scene: Scene, customer_id: UUID, product_id: UUID) -> None:
    tenant_id = TenantId(scene.history.tenant_id)
    uses = item(
        tenant_id,
        OfferId(scene.offer_id),
        customer_id=customer_id,
        product_id=product_id,
        target_id=product_id,
        target_max_uses=next(
            target.max_uses
            for target in scene.draft.offer.targets
            if target.product_id == product_id
        ),
    )
    attempt = Attempt(uses.command.request_id, scene.offer_id, customer_id, product_id, [])
    scene.history.attempts.append(attempt)
    sent_at = time.monotonic()
    answered = await scene.store.redeem(tenant_id, [uses])
    attempt.answers.append(as_seen(answered.answers[0], sent_at))


def as_seen(answer: RedemptionAnswer, sent_at: float) -> Answer:
    """The answer as a client of the server would have recorded it."""
    now = time.monotonic()
    if isinstance(answer.outcome, Redemption):
        response = RedeemResponse(redemption=write_redemption(answer.outcome))
        return Answer(sent_at, now, OK, response.SerializeToString(), answer.replayed)
    assert isinstance(answer.outcome, RefusalReason)
    return Answer(sent_at, now, EXHAUSTED, status_of(answer.outcome.name))


def status_of(*reasons: str) -> bytes:
    details = []
    for reason in reasons:
        packed = AnyMessage()
        packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="guerdon"))
        details.append(packed)
    status: bytes = status_pb2.Status(code=EXHAUSTED, details=details).SerializeToString()
    return status


async def test_a_sound_database_passes_and_the_scene_met_every_limit(scene: Scene) -> None:
    report = await scene.audit()
    assert report.failed_checks == set(), report
    assert report.rows == len(scene.granted) == TOTAL_LIMIT
    assert {attempt.answers[0].reason for attempt in scene.refused} == {
        "TOTAL_LIMIT_REACHED",
        "PRODUCT_LIMIT_REACHED",
        "CUSTOMER_LIMIT_REACHED",
    }


async def test_revokes_and_edits_are_part_of_the_sequence(scene: Scene) -> None:
    tenant_id = TenantId(scene.history.tenant_id)
    await scene.store.revoke(tenant_id, RequestId(scene.granted[0].request_id), "test")
    record = await scene.offers.find(tenant_id, OfferId(scene.offer_id))
    assert record is not None
    edited = msgspec.structs.replace(
        record.draft, offer=msgspec.structs.replace(record.draft.offer, total_limit=TOTAL_LIMIT + 1)
    )
    await scene.offers.replace(edited, current=record, changed_by="test")
    scene.history = History(tenant_id, [Goal(scene.offer_id, "edited")], scene.history.attempts)
    failed = (await scene.audit()).failed_checks
    # What was refused before would be granted now: that is all there is to say.
    assert failed == {"nothing_is_left"}


LAST = "(select max(sequence) from guerdon.redemptions)"
FIRST_REQUEST = "(select request_id from guerdon.redemptions order by sequence limit 1)"
LAST_REQUEST = "(select request_id from guerdon.redemptions order by sequence desc limit 1)"


# Statement -> the check that finds what it broke.
DAMAGES = [
    ("update guerdon.offer_counters set used = used + 1", "counters"),
    ("update guerdon.offer_counters set used = used - 1", "counters"),
    ("update guerdon.offer_counters set spent_minor = spent_minor + 1", "counters"),
    ("update guerdon.offer_counters set last_sequence = last_sequence + 1", "sequences"),
    (f"delete from guerdon.redemptions where sequence = {LAST}", "grants_have_rows"),
    (f"delete from guerdon.redemptions where sequence = {LAST}", "counters"),
    ("delete from guerdon.redemptions where sequence = 3", "sequences"),
    (f"update guerdon.redemptions set sequence = 99 where sequence = {LAST}", "sequences"),
    ("update guerdon.redemptions set sequence = 2 where sequence = 3", "sequences"),
    ("update guerdon.offer_product_counters set used = used + 1", "target_counters"),
    ("delete from guerdon.offer_product_counters", "target_counters"),
    ("update guerdon.offer_customer_usage set used = 0", "customer_usage"),
    ("update guerdon.offer_customer_usage set last_use = last_use + 1", "customer_usage"),
    ("update guerdon.redemptions set customer_use = customer_use + 1", "customer_uses"),
    (f"delete from guerdon.redemption_lines where request_id = {FIRST_REQUEST}", "lines"),
    (
        "update guerdon.redemption_lines set paid_minor = paid_minor - 1,"
        " discount_minor = discount_minor + 1",
        "lines",
    ),
    ("update guerdon.redemptions set offer_version = 7", "references"),
    ("update guerdon.redemptions set currency = 'USD'", "references"),
    ("update guerdon.redemptions set target_id = gen_random_uuid()", "references"),
    ("update guerdon.redemptions set revoked_at = now() where sequence = 1", "revokes"),
    ("update guerdon.offer_customer_usage set tenant_id = gen_random_uuid()", "tenants"),
    (
        "update guerdon.redemptions set paid_minor = paid_minor - 1,"
        " discount_minor = discount_minor + 1",
        "grants_have_rows",
    ),
    (
        f"update guerdon.redemptions set customer_id = gen_random_uuid()"
        f" where request_id = {LAST_REQUEST}",
        "rows_were_asked_for",
    ),
]


async def test_damage_in_the_database_is_found(scene: Scene, subtests: pytest.Subtests) -> None:
    for damage, found_by in DAMAGES:
        with subtests.test(damage):
            transaction = scene.owner.transaction()
            await transaction.start()
            try:
                assert await scene.owner.execute(damage) not in {"UPDATE 0", "DELETE 0"}
                report = await audit_snapshot(scene.owner, scene.history)
            finally:
                await transaction.rollback()
            assert found_by in report.failed_checks


async def test_a_row_too_many_is_found_although_all_counters_agree(scene: Scene) -> None:
    """What a server without the limit check would write: one more, counted everywhere."""
    await grant_beyond_limits(scene, new_id())
    failed = (await scene.audit()).failed_checks
    assert failed == {"limits", "rows_were_asked_for", "goals_are_hit_exactly"}


async def test_a_customer_over_the_limit_is_found_although_the_total_is_not_reached(
    scene: Scene,
) -> None:
    update = "update guerdon.{0} set {1} where offer_id = $1"
    bigger = "content = jsonb_set(content, '{offer,total_limit}', '1000')"
    await scene.owner.execute(update.format("offer_versions", bigger), scene.offer_id)
    customer_id = scene.granted[0].customer_id
    await grant_beyond_limits(scene, customer_id)
    assert "limits" in (await scene.audit()).failed_checks


async def grant_beyond_limits(scene: Scene, customer_id: UUID) -> None:
    """Lift the limits of the offer's row for one redemption; the version keeps what it said."""
    lift = "update guerdon.offers set total_limit = $2, per_customer_limit = $3 where offer_id = $1"
    await scene.owner.execute(lift, scene.offer_id, None, None)
    unlimited = scene.draft.offer.targets[1].target_id
    uses = item(
        TenantId(scene.history.tenant_id),
        OfferId(scene.offer_id),
        customer_id=customer_id,
        product_id=unlimited,
        target_id=unlimited,
    )
    answered = await scene.store.redeem(TenantId(scene.history.tenant_id), [uses])
    assert isinstance(answered.answers[0].outcome, Redemption)
    await scene.owner.execute(lift, scene.offer_id, TOTAL_LIMIT, PER_CUSTOMER_LIMIT)


def forget_an_answered_attempt(scene: Scene) -> None:
    scene.history.attempts.remove(scene.granted[-1])


def claim_a_grant_that_was_refused(scene: Scene) -> None:
    scene.refused[0].answers.append(scene.granted[0].answers[0])


def claim_a_refusal_of_what_was_granted(scene: Scene) -> None:
    scene.granted[0].answers[:] = scene.refused[0].answers


def refuse_a_retry_of_what_was_granted(scene: Scene) -> None:
    granted = scene.granted[0].answers
    granted.append(
        msgspec.structs.replace(scene.refused[0].answers[0], sent_at=granted[0].answered_at + 1)
    )


def answer_a_retry_differently(scene: Scene) -> None:
    answers = scene.granted[0].answers
    other = RedeemResponse.FromString(answers[0].body)
    other.redemption.line.paid_minor += 1
    answers.append(msgspec.structs.replace(answers[0], body=other.SerializeToString()))


def grant_a_retry_anew(scene: Scene) -> None:
    answers = scene.granted[0].answers
    answers.append(msgspec.structs.replace(answers[0], sent_at=answers[0].answered_at + 1))


def leave_an_attempt_unanswered(scene: Scene) -> None:
    unavailable = NUMBERS[grpc.StatusCode.UNAVAILABLE]
    scene.refused[0].answers[:] = [Answer(0.0, 1.0, unavailable)]


def fail_internally(scene: Scene) -> None:
    internal = NUMBERS[grpc.StatusCode.INTERNAL]
    scene.refused[0].answers.insert(0, Answer(0.0, 1.0, internal, status_of("INTERNAL")))


def explain_an_error_twice(scene: Scene) -> None:
    answers = scene.refused[0].answers
    twice = status_of("TOTAL_LIMIT_REACHED", "TOTAL_LIMIT_REACHED")
    answers[0] = msgspec.structs.replace(answers[0], body=twice)


def refuse_before_anybody_asked(scene: Scene) -> None:
    sold_out = scene.refused[-1].answers
    sold_out[0] = msgspec.structs.replace(sold_out[0], sent_at=0.0, answered_at=0.0)


def answer_out_of_order(scene: Scene) -> None:
    early, late = scene.granted[0].answers, scene.granted[-1].answers
    sent_after = late[0].answered_at + 1
    early[0] = msgspec.structs.replace(early[0], sent_at=sent_after, answered_at=sent_after)


def use_one_id_twice(scene: Scene) -> None:
    scene.refused[0].request_id = scene.refused[1].request_id


def ask_for_more(scene: Scene) -> None:
    goal = scene.history.goals[0]
    scene.history.goals[0] = msgspec.structs.replace(goal, each_customer=PER_CUSTOMER_LIMIT)


Damage = Callable[[Scene], None]
LIES: list[tuple[Damage, str]] = [
    (forget_an_answered_attempt, "rows_were_asked_for"),
    (claim_a_grant_that_was_refused, "grants_have_rows"),
    (claim_a_refusal_of_what_was_granted, "rows_were_told"),
    (refuse_a_retry_of_what_was_granted, "no_refusal_after_a_grant"),
    (answer_a_retry_differently, "answers_of_one_id_are_equal"),
    (grant_a_retry_anew, "replays_say_so"),
    (leave_an_attempt_unanswered, "rows_were_told"),
    (fail_internally, "errors_are_explained"),
    (explain_an_error_twice, "errors_are_explained"),
    (refuse_before_anybody_asked, "refusals_were_true"),
    (answer_out_of_order, "order_is_real_time"),
    (use_one_id_twice, "request_ids_are_distinct"),
    (ask_for_more, "goals_are_hit_exactly"),
]


async def test_what_the_clients_saw_is_held_against_the_rows(
    scene: Scene, subtests: pytest.Subtests
) -> None:
    for damage, found_by in LIES:
        with subtests.test(damage.__name__):
            told = msgspec.structs.replace(scene, history=copy.deepcopy(scene.history))
            damage(told)
            assert found_by in (await told.audit()).failed_checks


async def test_room_that_is_left_although_somebody_was_refused_is_found(scene: Scene) -> None:
    """A use that a limit held and nobody got: the offer says it is used up, and is not."""
    raise_limits = "update guerdon.offers set total_limit = 7, per_customer_limit = 9"
    await scene.owner.execute(raise_limits)
    assert "nothing_is_left" in (await scene.audit()).failed_checks
