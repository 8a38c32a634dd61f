"""An acknowledged edit is a barrier: nothing is redeemed under the version before.

The proof is in the database. Every effect on an offer has the next number of its slot, so the edit
that opens an offer again has the number after the edit that closed it.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from guerdon.api.admin.v1.offer_admin_service_pb2 import (
    ChangeOfferStatusRequest,
    UpdateOfferRequest,
)
from guerdon.api.admin.v1.offer_pb2 import Offer
from guerdon.domain.identifiers import OfferId
from loadtests.history import TOTAL_LIMIT, Answer, Attempt, Goal
from tests.races.clients import ADMIN_SERVICE, Client, Progress, connected, settle_all
from tests.races.site import Site, Tenant, assert_passed, calls_by_worker
from tests.support.ledger import counters, new_id
from tests.support.proofs import sized, tell

ROUNDS = sized(200, 10)
CLIENTS = 32
# Settled between two edits: more than are under way, so some were sent after the edit's answer.
SETTLED_BETWEEN = 2 * CLIENTS
EDIT_SECONDS_MAX = 1.0
NOT_ACTIVE = "OFFER_NOT_ACTIVE"
EDITS_QUERY = """
    select version, sequence from guerdon.offer_effects
    where offer_id = $1 and kind = 'edited' order by sequence
"""
VERSIONS_USED_QUERY = """
    select distinct offer_version from guerdon.redemptions where offer_id = $1
"""


class Edits(msgspec.Struct, frozen=True):
    """A way to close an offer and to open it again, and what the closed one answers."""

    method: str
    closing: Message
    opening: Message
    reason: str
    checks_that_do_not_fit: frozenset[str]


def pausing(offer_id: OfferId) -> Edits:
    closing, opening = (
        ChangeOfferStatusRequest(offer_id=str(offer_id), status=status)
        for status in ("paused", "active")
    )
    unfit = frozenset({"errors_are_explained"})
    return Edits("ChangeOfferStatus", closing, opening, NOT_ACTIVE, unfit)


def lowering_the_limit(offer_id: OfferId) -> Edits:
    """To one use, which is long reached, and back to none at all."""
    mask = FieldMask(paths=["total_usage_limit"])
    low, none = Offer(offer_id=str(offer_id), total_usage_limit=1), Offer(offer_id=str(offer_id))
    closing = UpdateOfferRequest(offer=low, update_mask=mask)
    opening = UpdateOfferRequest(offer=none, update_mask=mask)
    # They judge by the limit in the end, when there is none.
    unfit = frozenset({"refusals_were_true", "nothing_is_left"})
    return Edits("UpdateOffer", closing, opening, TOTAL_LIMIT, unfit)


@pytest.mark.parametrize("make_edits", [pausing, lowering_the_limit])
async def test_nothing_is_redeemed_after_the_answer_to_an_edit(
    site: Site, tenant: Tenant, make_edits: Callable[[OfferId], Edits]
) -> None:
    offer_id = await tenant.new_offer()
    edits, progress, done = make_edits(offer_id), Progress(), asyncio.Event()
    attempts: list[Attempt] = []
    before = calls_by_worker(site.server)
    async with connected([site.server.address], tenant.key, CLIENTS + 1) as (editor, *clients):
        loading = asyncio.create_task(
            settle_all(clients, endless(offer_id, attempts, done), progress)
        )
        await until_more(progress)
        answers = await edit_in_rounds(editor, edits, progress)
        done.set()
        await loading
    after = calls_by_worker(site.server)
    assert min(after[pid] - before[pid] for pid in after) >= len(attempts) / 5

    seconds = sorted(answer.answered_at - answer.sent_at for answer in answers)
    tell(edits=len(seconds), median=seconds[len(seconds) // 2], slowest=seconds[-1])
    assert seconds[-1] <= EDIT_SECONDS_MAX
    assert_true_when_sent(attempts, answers, edits)
    await assert_barriers(tenant, offer_id)
    report = await tenant.audit([Goal(offer_id, "edited")], attempts)
    assert_passed(report, but=edits.checks_that_do_not_fit)


def endless(offer_id: OfferId, attempts: list[Attempt], done: asyncio.Event) -> Iterator[Attempt]:
    while not done.is_set():
        attempts.append(Attempt(new_id(), offer_id, new_id()))
        yield attempts[-1]


async def until_more(progress: Progress) -> None:
    """Return when as many again are settled as lie between two edits."""
    enough = progress.settled + SETTLED_BETWEEN
    await progress.until(lambda load: load.settled >= enough)


async def edit_in_rounds(editor: Client, edits: Edits, progress: Progress) -> list[Answer]:
    """The answers to all edits in turn: closing, opening, closing, ..."""
    answers = []
    for _ in range(ROUNDS):
        for message in (edits.closing, edits.opening):
            answer = await editor.send(f"{ADMIN_SERVICE}/{edits.method}", message)
            assert answer.is_grant, answer
            answers.append(answer)
            await until_more(progress)
    return answers


def assert_true_when_sent(
    attempts: Sequence[Attempt], answers: Sequence[Answer], edits: Edits
) -> None:
    """What was sent and answered between two edits was answered by the version in force then."""
    answered = [answer.answered_at for answer in answers]
    refused = granted = 0
    for attempt in attempts:
        for answer in attempt.answers:
            number = bisect_right(answered, answer.sent_at) - 1
            last = number + 1 == len(answers)
            if number < 0 or (not last and answer.answered_at > answers[number + 1].sent_at):
                continue
            if not answer.is_definite:
                continue
            is_closed = number % 2 == 0
            assert answer.reason == (edits.reason if is_closed else ""), attempt
            refused += is_closed
            granted += not is_closed
    # In every round some must have been sent between, or nothing was proved.
    assert min(refused, granted) >= ROUNDS


async def assert_barriers(tenant: Tenant, offer_id: OfferId) -> None:
    owner = tenant.store.owner
    rows = await owner.fetch(EDITS_QUERY, offer_id)
    assert [row["version"] for row in rows] == list(range(2, 2 * ROUNDS + 2))
    sequences = [row["sequence"] for row in rows]
    for closed, opened in zip(sequences[::2], sequences[1::2], strict=True):
        assert opened == closed + 1
    # Every open version was used, no closed one.
    versions = {row["offer_version"] for row in await owner.fetch(VERSIONS_USED_QUERY, offer_id)}
    assert versions == set(range(1, 2 * ROUNDS + 2, 2))
    row = await counters(owner, offer_id)
    assert row["used"] == row["live_rows"]
    assert row["last_sequence"] == row["effects"]
