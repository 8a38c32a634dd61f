"""Revokes race redeems of the same request over two processes: uses come back exactly once."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec

from guerdon.api.offers.v1 import redemption_pb2 as messages
from guerdon.api.offers.v1.offer_service_pb2 import RevokeRequest, RevokeResponse
from guerdon.domain.identifiers import OfferId
from loadtests.history import TOTAL_LIMIT, Answer, Attempt, Goal
from tests.races.clients import (
    REDEEM,
    REVOKE,
    Client,
    connected,
    make_attempts,
    redeem_message,
)
from tests.races.site import Site, Tenant, assert_passed
from tests.support.ledger import counters, new_id
from tests.support.proofs import sized, tell

RACES = sized(10_000, 400)
CLIENTS = 16
RACES_AT_ONCE = 100


class Race(msgspec.Struct):
    """One request that two clients redeem and two revoke, and one beside it that stays."""

    raced: Attempt
    revoked: Attempt
    staying: Attempt


async def test_revokes_and_redeems_of_one_request_leave_exact_counters(
    site: Site, tenant: Tenant
) -> None:
    limit = RACES // 2
    offer_id = await tenant.new_offer(total_limit=limit)
    races = [make_race(offer_id) for _ in range(RACES)]
    async with connected([site.server.address], tenant.key, CLIENTS) as clients:
        for start in range(0, RACES, RACES_AT_ONCE):
            await run_races(clients, races[start : start + RACES_AT_ONCE])
        # What revokes gave back late is there for those who ask again.
        await asyncio.gather(
            *(
                clients[number % CLIENTS].settle(REDEEM, redeem_message(race.staying), race.staying)
                for number, race in enumerate(races)
                if not race.staying.answers[-1].is_grant
            )
        )
    endings = Counter([assert_settled(race) for race in races])
    tell(endings=dict(endings))
    # Both ways must have been raced, or nothing was proved.
    assert min(endings["redeemed"], endings["tombstone"]) >= RACES // 20, endings

    owner = tenant.store.owner
    row = await counters(owner, offer_id)
    assert row["used"] == row["live_rows"] == limit
    assert row["spent_minor"] == row["live_discount"]
    assert row["last_sequence"] == row["effects"]
    redeemed = await owner.fetchval(
        "select count(*) from guerdon.offer_effects where offer_id = $1 and kind = 'revoked'",
        offer_id,
    )
    tombstones = await owner.fetchval(
        "select count(*) from guerdon.redemptions where tenant_id = $1 and offer_id is null",
        tenant.tenant_id,
    )
    assert (redeemed, tombstones) == (endings["redeemed"], RACES - endings["redeemed"])
    attempts = [attempt for race in races for attempt in (race.raced, race.staying)]
    report = await tenant.audit([Goal(offer_id, "revokes", total=limit)], attempts)
    # It knows no refusal of a revoked request; assert_settled looks at those.
    assert_passed(report, but={"errors_are_explained"})


def make_race(offer_id: OfferId) -> Race:
    raced, staying = make_attempts(offer_id, [new_id()], 2)
    return Race(raced, Attempt(raced.request_id, offer_id, raced.customer_id), staying)


async def run_races(clients: Sequence[Client], races: Sequence[Race]) -> None:
    """All at once. A third of the revokes leave together with their redeems, a third when the
    first redeem of all is answered, the others when that of their own request is."""
    first_answer = asyncio.Event()

    async def run(number: int, race: Race) -> None:
        turn = [clients[(number + step) % len(clients)] for step in range(5)]
        own_answer, at_once = asyncio.Event(), asyncio.Event()
        at_once.set()
        signal = (at_once, first_answer, own_answer)[number % 3]
        message = redeem_message(race.raced)

        async def redeem(client: Client) -> None:
            await client.settle(REDEEM, message, race.raced)
            own_answer.set()
            first_answer.set()

        async def revoke(client: Client) -> None:
            await signal.wait()
            request = RevokeRequest(request_id=str(race.raced.request_id), reason="raced")
            await client.settle(REVOKE, request, race.revoked)

        staying = turn[4].settle(REDEEM, redeem_message(race.staying), race.staying)
        await asyncio.gather(
            redeem(turn[0]), revoke(turn[1]), redeem(turn[2]), revoke(turn[3]), staying
        )

    await asyncio.gather(*(run(number, race) for number, race in enumerate(races)))


def assert_settled(race: Race) -> str:
    """How the race ended; the answers must agree with each other."""
    redeems = [answer for answer in race.raced.answers if answer.is_definite]
    revokes = Counter(outcome_of(answer) for answer in race.revoked.answers if answer.is_definite)
    assert len(redeems) == revokes.total() == 2
    reasons = {answer.reason for answer in redeems if not answer.is_grant}
    assert reasons <= {"REQUEST_REVOKED", TOTAL_LIMIT}
    if revokes[messages.REVOKE_OUTCOME_TOMBSTONED]:
        assert revokes.total() == revokes[messages.REVOKE_OUTCOME_TOMBSTONED]
        assert not any(answer.is_grant for answer in redeems)
        return "tombstone"
    # An answer that was lost in between makes the retry see what it had done itself.
    assert revokes[messages.REVOKE_OUTCOME_REVOKED] <= 1
    assert any(answer.is_grant for answer in redeems)
    return "redeemed"


def outcome_of(answer: Answer) -> int:
    assert answer.is_grant, answer
    return RevokeResponse.FromString(answer.body).outcome
