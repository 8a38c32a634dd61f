"""The calls that the load generator kept, as attempts for the audit.

The file has frames: four bytes of length, then msgpack of a list of calls; generator/journal.go
writes it. A frame is a fraction of a megabyte, so a file of any length is read in little memory.
"""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from guerdon.api.offers.v1.offer_service_pb2 import (
    RedeemBatchResponse,
    RedeemBatchResult,
    RedeemResponse,
)
from loadtests.bench.orders import Target
from loadtests.history import OK, Answer, Attempt

LENGTH_BYTES = 4


class Item(msgspec.Struct, array_like=True, gc=False):
    """One item of a request: its id, and the numbers of its customer and offer in the target's
    lists."""

    request_id: UUID
    customer: int
    offer: int


class Call(msgspec.Struct, array_like=True):
    """One call: when it was sent and answered, the answer, and the items of the request."""

    sent_at: float
    answered_at: float
    code: int
    body: bytes
    items: list[Item]


def read_calls(file: Path) -> Iterator[Call]:
    """In the order of their answers."""
    decoder = msgspec.msgpack.Decoder(list[Call])
    with file.open("rb") as frames:
        while head := frames.read(LENGTH_BYTES):
            yield from decoder.decode(frames.read(int.from_bytes(head)))


def attempts_of(target: Target, calls: Iterator[Call]) -> Iterator[Attempt]:
    """Every item as an attempt with one answer, also when a patient caller sent it before."""
    for call in calls:
        for item, answer in zip(call.items, answers_of(target, call), strict=True):
            yield Attempt(
                item.request_id,
                target.offers[item.offer],
                target.customers[item.customer],
                None,
                [answer],
            )


def answers_of(target: Target, call: Call) -> list[Answer]:
    """One for each item: its own when the call was a batch and came through."""
    times = (call.sent_at, call.answered_at)
    if target.template.items == 0 or call.code != OK:
        return [Answer(*times, call.code, call.body)] * len(call.items)
    results = RedeemBatchResponse.FromString(call.body).results
    return [Answer(*times, *outcome_of(result), result.replayed) for result in results]


def outcome_of(result: RedeemBatchResult) -> tuple[int, bytes]:
    """Code and body as a Redeem of the one item would have given them."""
    if result.HasField("redemption"):
        return OK, RedeemResponse(redemption=result.redemption).SerializeToString()
    return result.status.code, result.status.SerializeToString()
