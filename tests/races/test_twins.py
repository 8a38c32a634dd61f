"""One request id redeems once, however many twins of it arrive at both processes at once."""

import asyncio
from collections.abc import Iterator, Sequence

from loadtests.history import CODES, Attempt, Goal
from tests.races.clients import REDEEM, Client, connected, make_attempts, redeem_message
from tests.races.site import Site, Tenant, assert_passed
from tests.support.ledger import counters, new_id
from tests.support.proofs import sized

TWINS = 50
REQUESTS = sized(1_000, 60)
# Requests under way at once: their twins meet within a batch, across batches and across processes.
REQUESTS_AT_ONCE = 10


def in_chunks(attempts: Sequence[Attempt]) -> Iterator[Sequence[Attempt]]:
    for start in range(0, len(attempts), REQUESTS_AT_ONCE):
        yield attempts[start : start + REQUESTS_AT_ONCE]


async def test_twins_get_one_redemption_and_equal_answers(site: Site, tenant: Tenant) -> None:
    offer_id = await tenant.new_offer(total_limit=REQUESTS)
    attempts = make_attempts(offer_id, [new_id() for _ in range(REQUESTS)], REQUESTS)
    async with connected([site.server.address], tenant.key, TWINS) as clients:
        for chunk in in_chunks(attempts):
            await asyncio.gather(
                *(
                    client.settle(REDEEM, redeem_message(attempt), attempt)
                    for attempt in chunk
                    for client in clients
                )
            )
    for attempt in attempts:
        grants = [answer for answer in attempt.answers if answer.is_grant]
        assert len(grants) == TWINS
        assert len({answer.body for answer in grants}) == 1
    # Across processes the second one finds the first one's row.
    assert sum(answer.replayed for attempt in attempts for answer in attempt.answers) >= REQUESTS
    row = await counters(tenant.store.owner, offer_id)
    assert row["used"] == row["live_rows"] == row["effects"] == REQUESTS
    report = await tenant.audit([Goal(offer_id, "twins", total=REQUESTS)], attempts)
    assert_passed(report)


async def test_of_twins_with_two_bodies_one_body_wins(site: Site, tenant: Tenant) -> None:
    offer_id = await tenant.new_offer()
    attempts = make_attempts(offer_id, [new_id() for _ in range(REQUESTS)], REQUESTS)
    others = [
        Attempt(attempt.request_id, attempt.offer_id, attempt.customer_id) for attempt in attempts
    ]
    async with connected([site.server.address], tenant.key, 8) as clients:
        await asyncio.gather(
            *(send_both(clients, one, other) for one, other in zip(attempts, others, strict=True))
        )
        for one, other in zip(attempts, others, strict=True):
            words = {words_of(one), words_of(other)}
            assert words == {"OK", "ALREADY_EXISTS REQUEST_ID_REUSED"}
            loser, quantity = (other, 2) if words_of(one) == "OK" else (one, 1)
            again = await clients[0].send(REDEEM, redeem_message(loser, quantity=quantity))
            assert again.reason == "REQUEST_ID_REUSED"
    row = await counters(tenant.store.owner, offer_id)
    assert row["used"] == row["live_rows"] == row["effects"] == REQUESTS


async def send_both(clients: Sequence[Client], one: Attempt, other: Attempt) -> None:
    await asyncio.gather(
        *(client.settle(REDEEM, redeem_message(one), one) for client in clients[::2]),
        *(
            client.settle(REDEEM, redeem_message(other, quantity=2), other)
            for client in clients[1::2]
        ),
    )


def words_of(attempt: Attempt) -> str:
    """The one definite outcome of an attempt."""
    words = {
        f"{CODES[answer.code].name} {answer.reason}".strip()
        for answer in attempt.answers
        if answer.is_definite
    }
    assert len(words) == 1, words
    return words.pop()
