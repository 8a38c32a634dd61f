"""What a hostile or broken client sends: each gets an answer of ours, and none is a crash."""

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import grpc
import pytest

from tests.grpc.gate import METHODS, UNARY, read_failure
from tests.grpc.house import Tenant
from tests.grpc.odd_values import odd_message
from tests.grpc.requests import ID, good_requests, sensible_offers

ROUNDS = 100
GOOD = {**good_requests(), **sensible_offers()}
# Answers that would mean that something broke, or that it was not we who answered.
NEVER = {"INTERNAL", "OUTCOME_UNKNOWN", "DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED"}


def damage(raw: bytes, dice: random.Random) -> bytes:
    """The message with some bytes changed, removed, doubled or inserted."""
    damaged = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(damaged) + 1)
        match dice.randrange(4):
            case 0:
                damaged[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del damaged[at : at + dice.randint(1, 8)]
            case 2:
                damaged[at:at] = damaged[at : at + dice.randint(1, 16)]
            case _:
                damaged[at:at] = dice.randbytes(dice.randint(1, 4))
    return bytes(damaged)


async def reasons_of(tenant: Tenant, path: str, sent: Iterable[bytes]) -> Counter[str]:
    """How often each reason was the answer; fails for one that means that something broke."""
    send: Any = tenant.channel.unary_unary(path)
    reasons: Counter[str] = Counter()
    for raw in sent:
        try:
            answer = await send(raw, metadata=(("x-api-key", tenant.key),), timeout=10)
            reason = "OK"
            assert b"INTERNAL" not in answer
        except grpc.aio.AioRpcError as error:
            reason = read_failure(error).reason
        assert reason not in NEVER, METHODS[path].input_type.name + raw.hex()
        reasons[reason] += 1
    return reasons


@pytest.mark.parametrize("path", UNARY)
async def test_damaged_messages_never_break_anything(tenant: Tenant, path: str) -> None:
    dice = random.Random(path)
    good = GOOD[path].SerializeToString()
    reasons = await reasons_of(tenant, path, (damage(good, dice) for _ in range(ROUNDS)))
    assert 0 < reasons["MALFORMED_MESSAGE"] < ROUNDS


@pytest.mark.parametrize("path", UNARY)
async def test_odd_values_never_break_anything(tenant: Tenant, path: str) -> None:
    await make_sought_offer(tenant)
    dice = random.Random(path)
    odd = (odd_message(GOOD[path], dice).SerializeToString() for _ in range(ROUNDS))
    reasons = await reasons_of(tenant, path, odd)
    assert reasons["FIELDS_INVALID"] < ROUNDS
    assert not reasons["MALFORMED_MESSAGE"]


async def make_sought_offer(tenant: Tenant) -> None:
    """The offer that the good requests name, so that odd ones get as far as its terms."""
    rules = [{"rule_type": "new_user", "params": {"account_age_days": 7}}]
    offer = {"title": "x", "discount_type": "percentage", "discount_value": 33.33, "rules": rules}
    await tenant.call("CreateOffer", offer={**offer, "eligibility_logic": "any"}, offer_id=ID)
    await tenant.call("ChangeOfferStatus", offer_id=ID, status="active")
