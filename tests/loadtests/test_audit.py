"""The audit finds nothing in a sound database, and every damage seeded into it."""

from uuid import UUID

import msgspec
import pytest

from guerdon.domain.identifiers import OfferId, RequestId, TenantId
from guerdon.domain.redemption import Redemption
from loadtests.audit import audit_snapshot
from loadtests.history import Goal, History
from tests.loadtests.scene import (
    PER_CUSTOMER_LIMIT,
    TOTAL_LIMIT,
    Scene,
)
from tests.support.ledger import item, new_id


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
    ("update guerdon.redemptions set offer_version = 7", "versions"),
    (
        "drop index guerdon.redemptions_live_order;"
        " update guerdon.redemptions set order_ref = 'the same' where sequence in (1, 4)",
        "orders",
    ),
    (
        "update guerdon.redemptions set paid_minor = paid_minor - 1,"
        " discount_minor = discount_minor + 1;"
        " update guerdon.redemption_lines set paid_minor = paid_minor - 1,"
        " discount_minor = discount_minor + 1",
        "prices_follow_from_their_version",
    ),
    (
        "insert into guerdon.redemptions (tenant_id, request_id, revoked_at)"
        " select tenant_id, gen_random_uuid(), now() from guerdon.tenants limit 1",
        "tombstones_were_asked_for",
    ),
    ("update guerdon.redemptions set revoked_at = now() where sequence = 1", "revokes_hold"),
    ("alter table guerdon.offer_effects no force row level security", "row_security"),
    ("alter table guerdon.redemptions disable row level security", "row_security"),
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


async def test_room_that_is_left_although_somebody_was_refused_is_found(scene: Scene) -> None:
    """A use that a limit held and nobody got: the offer says it is used up, and is not."""
    raise_limits = "update guerdon.offers set total_limit = 7, per_customer_limit = 9"
    await scene.owner.execute(raise_limits)
    assert "nothing_is_left" in (await scene.audit()).failed_checks
