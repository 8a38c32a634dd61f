"""Poison in a batch, callers who hang up or have no time, and more callers than there is room."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import asyncpg
import grpc
from google.rpc import (  # type: ignore[import-untyped]  # The package ships no types.
    error_details_pb2,
    status_pb2,
)

from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.api.offers.v1.offer_service_pb2 import RedeemBatchRequest, RedeemBatchResponse
from guerdon.dataplane.committing import redeem_each
from guerdon.domain.errors import Defect
from guerdon.domain.identifiers import OfferId
from guerdon.limits import (
    BATCH_ITEMS_MAX,
    QUEUE_ITEMS_MAX,
    REDEEM_BATCH_ITEMS_MAX,
    RETRY_AFTER_SECONDS_MAX,
    RETRY_AFTER_SECONDS_MIN,
)
from loadtests.history import CODES, NUMBERS, OK, Answer, Attempt, Goal, reason_in
from tests.races.clients import (
    REDEEM,
    SERVICE,
    Client,
    Progress,
    connected,
    make_attempts,
    redeem_message,
)
from tests.races.site import Site, Tenant, assert_passed
from tests.support.ledger import counters, item, new_id
from tests.support.proofs import sized, tell

POISON_PRICE_MINOR = 10**12
# What the counter of discounts can still take: all of a batch but the poison.
ROOM_MINOR = 10**9
ROUNDS = sized(200, 20)
CALLS = 40
WAIT_SECONDS_MAX = 10.0
# Some of these deadlines pass before the call is decided, some while it is, some not at all.
HURRY_SECONDS = (0.002, 0.06)
SHED = "OVERLOADED"
CANCELLED = NUMBERS[grpc.StatusCode.CANCELLED]

UntilWaiting = Callable[[], Awaitable[None]]
BLOCKED_QUERY = "select count(*) from pg_stat_activity where $1 = any (pg_blocking_pids(pid))"


@contextlib.asynccontextmanager
async def held_up(tenant: Tenant, offer_id: OfferId) -> AsyncIterator[UntilWaiting]:
    """Inside the block somebody holds the offer's lock; the function that it is given returns
    when a batch is seen to wait for that."""
    holder, database = tenant.store.owner, tenant.store.database
    pid = holder.get_server_pid()

    async def until_waiting() -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        async with database.connection() as connection:
            while not await connection.fetchval(BLOCKED_QUERY, pid):
                assert time.monotonic() < deadline, "no batch waits"

    async with holder.transaction():
        lock = "select from guerdon.offer_counters where offer_id = $1 for no key update"
        await holder.execute(lock, offer_id)
        yield until_waiting


async def fill_the_counter(owner: asyncpg.Connection, offer_id: OfferId) -> None:
    """The counter of discounts nearly overflows; only a database that was changed by hand has
    that, and no validation can know."""
    await owner.execute(
        "update guerdon.offer_counters set spent_minor = 9223372036854775807 - $2::bigint"
        " where offer_id = $1",
        offer_id,
        ROOM_MINOR,
    )


async def test_a_poison_item_in_a_full_batch_fails_alone(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer()
    await fill_the_counter(tenant.store.owner, offer_id)
    items = [item(tenant.tenant_id, offer_id) for _ in range(BATCH_ITEMS_MAX)]
    place = 100
    items[place] = item(tenant.tenant_id, offer_id, unit_price_minor=POISON_PRICE_MINOR)
    store = PostgresRedemptions(tenant.store.database)
    answers, _ = await redeem_each(store, tenant.tenant_id, items)
    assert isinstance(answers.pop(place), Defect)
    assert not any(isinstance(answer, Exception) for answer in answers)
    row = await counters(tenant.store.owner, offer_id)
    assert row["used"] == row["live_rows"] == row["effects"] == BATCH_ITEMS_MAX - 1


async def test_the_callers_beside_a_poison_item_hear_nothing_of_it(
    site: Site, tenant: Tenant
) -> None:
    offer_id = await tenant.new_offer()
    await fill_the_counter(tenant.store.owner, offer_id)
    attempts = make_attempts(offer_id, [new_id()], REDEEM_BATCH_ITEMS_MAX)
    messages = [redeem_message(attempt) for attempt in attempts]
    messages[7] = redeem_message(attempts[7], unit_price_minor=POISON_PRICE_MINOR)
    async with connected([site.server.address], tenant.key, 1) as (client,):
        answer = await client.send(f"{SERVICE}/RedeemBatch", RedeemBatchRequest(requests=messages))
    results = RedeemBatchResponse.FromString(answer.body).results
    reasons = [reason_in(result.status.SerializeToString()) for result in results]
    assert reasons.pop(7) == "INTERNAL"
    assert set(reasons) == {""}
    text = str(results[7].status)
    for leak in ("bigint", "out of range", "guerdon.", "Traceback", str(attempts[7].customer_id)):
        assert leak not in text
    assert (await counters(tenant.store.owner, offer_id))["live_rows"] == len(attempts) - 1


async def test_a_batch_whose_callers_hang_up_is_done_whole_or_not_at_all(
    site: Site, tenant: Tenant
) -> None:
    offer_id = await tenant.new_offer(total_limit=ROUNDS * CALLS)
    attempts = make_attempts(offer_id, [new_id()], ROUNDS * CALLS)
    async with connected([site.server.address], tenant.key, CALLS) as clients:
        for start in range(0, len(attempts), CALLS):
            chunk = attempts[start : start + CALLS]
            await hang_up_midway(clients, chunk, tenant)
            await asyncio.gather(
                *(
                    client.settle(REDEEM, redeem_message(attempt), attempt)
                    for client, attempt in zip(clients, chunk, strict=True)
                )
            )
    committed_unheard = sum(is_committed_unheard(attempt) for attempt in attempts)
    tell(committed_unheard=committed_unheard)
    # How many depends on the machine; some must be, or nothing was proved.
    assert committed_unheard >= ROUNDS // 4
    report = await tenant.audit([Goal(offer_id, "hung up", total=len(attempts))], attempts)
    assert_passed(report)


def is_committed_unheard(attempt: Attempt) -> bool:
    """Whether a retry found what an earlier try had done without being able to say so."""
    *earlier, last = attempt.answers
    return last.replayed and not any(answer.is_grant for answer in earlier)


async def hang_up_midway(
    clients: Sequence[Client], attempts: Sequence[Attempt], tenant: Tenant
) -> None:
    """All of them call; every other one hangs up while a batch waits for the offer's lock."""
    async with held_up(tenant, OfferId(attempts[0].offer_id)) as until_waiting:
        sent_at = time.monotonic()
        calls = [
            client.begin(REDEEM, redeem_message(attempt).SerializeToString())
            for client, attempt in zip(clients, attempts, strict=True)
        ]
        await until_waiting()
        for call in calls[::2]:
            call.cancel()
    for call, attempt in zip(calls, attempts, strict=True):
        code, body = CANCELLED, b""
        with contextlib.suppress(asyncio.CancelledError):
            body = await call
            code = OK
        attempt.answers.append(Answer(sent_at, time.monotonic(), code, body))


async def test_whoever_runs_out_of_time_learns_the_outcome_by_a_retry(
    site: Site, tenant: Tenant
) -> None:
    count = ROUNDS * 20
    offer_id = await tenant.new_offer(total_limit=count)
    attempts = make_attempts(offer_id, [new_id()], count)
    draw = random.Random(count)
    waiting = iter(attempts)

    async def hurry(client: Client) -> None:
        for attempt in waiting:
            message = redeem_message(attempt)
            seconds = draw.uniform(*HURRY_SECONDS)
            attempt.answers.append(await client.send(REDEEM, message, seconds))
            await client.settle(REDEEM, message, attempt)

    async with connected([site.server.address], tenant.key, CALLS) as clients:
        await asyncio.gather(*map(hurry, clients))
    late = [attempt for attempt in attempts if not attempt.answers[0].is_definite]
    committed_unheard = sum(map(is_committed_unheard, late))
    tell(late=len(late), committed_unheard=committed_unheard)
    assert committed_unheard >= 1
    assert len(late) - committed_unheard >= 1
    assert_passed(await tenant.audit([Goal(offer_id, "hurried", total=count)], attempts))


async def test_more_calls_than_there_is_room_for_are_shed_with_a_hint(
    site: Site, tenant: Tenant
) -> None:
    count = QUEUE_ITEMS_MAX + 4 * BATCH_ITEMS_MAX
    offer_id = await tenant.new_offer(total_limit=count)
    attempts = make_attempts(offer_id, [new_id()], count)
    progress = Progress()
    # One connection is served by one process, whose queue is to overflow.
    async with connected([site.server.address], tenant.key, 1) as (client,):
        async with held_up(tenant, offer_id):
            settling = [
                asyncio.create_task(
                    client.settle(REDEEM, redeem_message(attempt), attempt, progress)
                )
                for attempt in attempts
            ]
            await progress.until(lambda load: SHED in load.reasons)
        await asyncio.gather(*settling)
    shed = [answer for attempt in attempts for answer in attempt.answers if answer.reason == SHED]
    words = Counter(
        f"{CODES[answer.code].name} {answer.reason}".strip()
        for attempt in attempts
        for answer in attempt.answers
    )
    tell(answers=dict(words))
    assert shed
    # The core would end calls like this, without a reason.
    assert "CANCELLED" not in words
    for answer in shed:
        assert CODES[answer.code] is grpc.StatusCode.UNAVAILABLE
        assert len(hints_in(answer)) == 1
    told = sorted(client.pushback_seconds)
    assert told[0] >= RETRY_AFTER_SECONDS_MIN
    assert told[-1] <= RETRY_AFTER_SECONDS_MAX
    assert_passed(await tenant.audit([Goal(offer_id, "shed", total=count)], attempts))


def hints_in(answer: Answer) -> list[float]:
    """Seconds of every RetryInfo."""
    status = status_pb2.Status.FromString(answer.body)
    infos = []
    for detail in status.details:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            infos.append(info.retry_delay.ToMilliseconds() / 1000)
    return infos
