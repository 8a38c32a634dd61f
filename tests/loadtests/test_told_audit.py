"""The audit holds what the clients were told against the database, and finds every lie."""

import copy
import time
from collections.abc import Callable

import grpc
import msgspec
import pytest

from guerdon.api.offers.v1.offer_service_pb2 import RedeemResponse, RevokeResponse
from guerdon.api.offers.v1.redemption_pb2 import RevokeOutcome
from guerdon.domain.identifiers import RequestId, TenantId
from loadtests.history import NUMBERS, OK, Answer, Attempt, Edit, Goal
from tests.loadtests.scene import (
    CUSTOMER,
    PER_CUSTOMER_LIMIT,
    TOTAL,
    TOTAL_LIMIT,
    UNAVAILABLE,
    Scene,
    raise_total,
    status_of,
    use_once,
)
from tests.support.ledger import new_id


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


def refuse_what_a_higher_number_proves_committed(scene: Scene) -> None:
    """No OK was heard yet, but a later use of the offer had been answered."""
    answers, refusal = scene.granted[0].answers, scene.refused[0].answers[0]
    known_at = scene.granted[-1].answers[0].answered_at
    late = msgspec.structs.replace(
        refusal, sent_at=known_at + 1, answered_at=known_at + 2, body=status_of(TOTAL)
    )
    heard = msgspec.structs.replace(
        answers[0], sent_at=known_at + 3, answered_at=known_at + 4, replayed=True
    )
    lost = Answer(answers[0].sent_at, answers[0].answered_at, UNAVAILABLE)
    scene.granted[0].answers[:] = [lost, late, heard]


def refuse_a_customer_who_never_came(scene: Scene) -> None:
    stranger = Attempt(new_id(), scene.offer_id, new_id(), scene.granted[0].product_id, [])
    said = msgspec.structs.replace(scene.refused[-1].answers[0], body=status_of(CUSTOMER))
    stranger.answers.append(said)
    scene.history.attempts.append(stranger)


def refuse_by_a_pause_that_never_was(scene: Scene) -> None:
    scene.history.edits.append(Edit(scene.offer_id, "words", 0.0, 0.1, OK, 1))
    answers = scene.refused[0].answers
    answers[0] = msgspec.structs.replace(answers[0], body=status_of("OFFER_NOT_ACTIVE"))


def grant_another_body(scene: Scene) -> None:
    granted = scene.granted[0]
    granted.other_quantity = 3
    granted.others.append(granted.answers[0])


def revoked(scene: Scene, outcome: "RevokeOutcome.ValueType") -> None:
    response = RevokeResponse(outcome=outcome).SerializeToString()
    now = scene.granted[0].answers[0].answered_at
    scene.granted[0].revokes.append(Answer(now, now + 1, OK, response))


def claim_a_revoke_that_was_not_done(scene: Scene) -> None:
    revoked(scene, RevokeOutcome.REVOKE_OUTCOME_REVOKED)


def claim_a_tombstone_of_what_was_granted(scene: Scene) -> None:
    revoked(scene, RevokeOutcome.REVOKE_OUTCOME_TOMBSTONED)


def leave_a_revoke_unanswered(scene: Scene) -> None:
    scene.granted[0].revokes.append(Answer(0.0, 1.0, UNAVAILABLE))


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
    (refuse_what_a_higher_number_proves_committed, "no_refusal_after_a_grant"),
    (refuse_a_customer_who_never_came, "refusals_were_true"),
    (refuse_by_a_pause_that_never_was, "refusals_were_true"),
    (grant_another_body, "grants_have_rows"),
    (claim_a_revoke_that_was_not_done, "revokes_hold"),
    (claim_a_tombstone_of_what_was_granted, "revokes_hold"),
    (leave_a_revoke_unanswered, "revokes_hold"),
]


async def test_what_the_clients_saw_is_held_against_the_rows(
    scene: Scene, subtests: pytest.Subtests
) -> None:
    for damage, found_by in LIES:
        with subtests.test(damage.__name__):
            told = msgspec.structs.replace(scene, history=copy.deepcopy(scene.history))
            damage(told)
            assert found_by in (await told.audit()).failed_checks


async def test_what_a_revoke_and_an_edit_changed_is_known_to_the_audit(scene: Scene) -> None:
    """A refusal is held against every state that its call may have seen, and no other."""
    tenant_id = TenantId(scene.history.tenant_id)
    full = scene.refused[-1]
    before = time.monotonic()
    await raise_total(scene, TOTAL_LIMIT + 1)
    after = time.monotonic()
    scene.history.edits.append(Edit(scene.offer_id, "raise", before, after, OK, 2))
    scene.history.goals = [Goal(scene.offer_id, "edited")]
    assert (await scene.audit()).failed_checks == set()
    refused_later = msgspec.structs.replace(
        full.answers[0], sent_at=after + 1, answered_at=after + 2, body=status_of(TOTAL)
    )
    full.answers.append(refused_later)
    assert (await scene.audit()).failed_checks == {"refusals_were_true"}
    full.answers[-1] = msgspec.structs.replace(refused_later, sent_at=before - 1)
    assert (await scene.audit()).failed_checks == set()
    await scene.store.revoke(tenant_id, RequestId(scene.granted[0].request_id), "test")
    assert (await scene.audit()).failed_checks == {"revokes_hold"}


async def test_a_use_after_an_acknowledged_edit_with_a_lower_number_is_found(scene: Scene) -> None:
    await raise_total(scene, TOTAL_LIMIT + 1)
    scene.history.edits.append(Edit(scene.offer_id, "raise", 0.0, 0.1, OK, 2))
    assert "order_is_real_time" in (await scene.audit()).failed_checks


async def test_an_edit_whose_answer_was_lost_may_have_been_made(scene: Scene) -> None:
    """The OK of a later edit that changed nothing names the version that the lost one made."""
    before = time.monotonic()
    await raise_total(scene, TOTAL_LIMIT + 1)
    made = time.monotonic()
    scene.history.edits += [
        Edit(scene.offer_id, "raise", before, before + 1, UNAVAILABLE),
        Edit(scene.offer_id, "raise", made + 5, made + 6, OK, 2),
    ]
    scene.history.goals = [Goal(scene.offer_id, "edited")]
    await use_once(scene, new_id(), scene.draft.offer.targets[1].target_id, version=2)
    assert (await scene.audit()).failed_checks == set()
