"""OfferService over gRPC is as a plain model says, whatever is called in which order."""

import asyncio
from collections import Counter

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.grpc.house import open_house
from tests.statemachine.machine import OfferServiceMachine
from tests.support.functions import replace_once, text_of
from tests.support.proofs import FULL, sized, tell

SETTINGS = settings(
    max_examples=sized(500, 20),
    stateful_step_count=sized(60, 40),
    # The suite asks the same every time, the full proof something new.
    derandomize=not FULL,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
# Every answer to a Redeem that a run must have met to prove something.
ANSWERS = {
    "GRANTED",
    "REQUEST_REVOKED",
    "REQUEST_ID_REUSED",
    "OFFER_NOT_FOUND",
    "OFFER_NOT_ACTIVE",
    "CURRENCY_NOT_COVERED",
    "PRICE_CHANGED",
    "ORDER_ALREADY_USED",
    "TOTAL_LIMIT_REACHED",
    "CUSTOMER_LIMIT_REACHED",
}
# What is wrong -> the function, its text, and what it says instead.
BUGS = {
    "a revoke gives the customer nothing back": (
        "revoke_v1",
        "update guerdon.offer_customer_usage u\n    set used = u.used - 1",
        "update guerdon.offer_customer_usage u\n    set used = u.used",
    ),
    "an order may use an offer twice": (
        "redeem_v1",
        "when v_order_used[p_order_of[i]] then 50",
        "when false then 50",
    ),
    "eligibility forgets the total limit": (
        "observe_v1",
        "array_agg(o.total_limit order by w.n)",
        "array_agg(o.total_limit + 1 order by w.n)",
    ),
}


async def test_every_answer_is_the_models(database_url: str, redis_url: str) -> None:
    met = await run(database_url, redis_url, SETTINGS)
    tell(**met)
    assert met.keys() >= ANSWERS


@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_in_the_database_is_found(
    owner: asyncpg.Connection, database_url: str, redis_url: str, bug: str
) -> None:
    function, right, wrong = BUGS[bug]
    await owner.execute(replace_once(text_of(function), right, wrong))
    found_at_once = settings(SETTINGS, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        await run(database_url, redis_url, found_at_once)


async def run(database_url: str, redis_url: str, how: settings) -> Counter[str]:
    """How often each answer to a Redeem was met."""
    async with open_house(database_url, redis_url) as house:
        met: Counter[str] = Counter()
        loop = asyncio.get_running_loop()
        given = {"loop": loop, "house": house, "redis_url": redis_url, "met": met}
        machine = type("Machine", (OfferServiceMachine,), given)
        await asyncio.to_thread(run_state_machine_as_test, machine, settings=how)
        return met
