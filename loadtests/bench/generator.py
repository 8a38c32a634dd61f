"""A client process of the benchmark: `python -m loadtests.bench.generator`.

It reads one JSON order a line from standard input and answers each with one JSON line. A closed
loop keeps so many calls in flight, spread over connections of their own; every call has a fresh
request id and a random customer. All targets get the same bytes, so their ratios are fair; nothing
is parsed until a round is over.
"""

import asyncio
import gc
import random
import sys
import time
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import grpc
import msgspec
import uvloop
from uuid_utils import uuid7

from loadtests.history import CODES, NUMBERS, OK, Answer, Attempt, status_in, write_attempts

# Nothing in a round should take so long; a call that does is an outcome of its own.
CALL_SECONDS_MAX = 20.0
LOCAL_POOL = (("grpc.use_local_subchannel_pool", 1),)


class Target(msgspec.Struct, frozen=True):
    """A server to load. A request is `before` + its id + `between` + a customer's id + `after`."""

    name: str
    address: str
    path: str
    api_key: str
    before: bytes
    between: bytes
    after: bytes
    offer_id: UUID


class Round(msgspec.Struct, frozen=True, tag="round"):
    """Load one target. Times are of the monotonic clock; calls count that end between the two.

    With `calls_max` the round ends when so many were sent, whatever the clock says.
    """

    target: str
    counts_from: float
    counts_until: float
    calls_max: int | None = None


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The first order: where to connect, and whom to send as customers."""

    targets: list[Target]
    customers: list[UUID]
    connections: int
    in_flight: int


class Save(msgspec.Struct, frozen=True, tag="save"):
    """Write every attempt at the target as history.write_attempts does."""

    target: str
    file: str


Order = Begin | Round | Save


class RoundResult(msgspec.Struct, frozen=True):
    """Of the calls that ended inside the counted time: how many by status, and their seconds."""

    calls: dict[str, int]
    latencies_seconds: list[float] = []


# Generic for the type checker only; bytes go in and come out.
Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
Call = tuple[float, float, str, int, int, bytes]
"""Sent at, answered at, request id, number of the customer, code, body of an Answer."""


class Client:
    """The connections to one target, and every call that was made on them."""

    def __init__(self, target: Target, begin: Begin) -> None:
        self.target = target
        self.calls: list[Call] = []
        self._customers = [str(customer).encode() for customer in begin.customers]
        self._in_flight = begin.in_flight
        self._channels = [
            grpc.aio.insecure_channel(target.address, options=LOCAL_POOL)
            for _ in range(begin.connections)
        ]
        self._methods: list[Method] = [
            channel.unary_unary(target.path) for channel in self._channels
        ]
        self._metadata = (("authorization", f"Bearer {target.api_key}"),)
        self._left = 0

    async def connect(self) -> None:
        await asyncio.gather(*(channel.channel_ready() for channel in self._channels))

    async def load(self, order: Round) -> RoundResult:
        first = len(self.calls)
        self._left = sys.maxsize if order.calls_max is None else order.calls_max
        methods = self._methods
        loops = (
            self._loop(methods[number % len(methods)], order.counts_until)
            for number in range(self._in_flight)
        )
        await asyncio.gather(*loops)
        counted = [
            call for call in self.calls[first:] if order.counts_from <= call[1] < order.counts_until
        ]
        calls: dict[str, int] = {}
        for call in counted:
            name = CODES[call[4]].name
            calls[name] = calls.get(name, 0) + 1
        return RoundResult(calls, [call[1] - call[0] for call in counted])

    async def _loop(self, method: Method, until: float) -> None:
        """One call after the other. What it does itself is kept to the least."""
        before, between, after = self.target.before, self.target.between, self.target.after
        customers, count = self._customers, len(self._customers)
        metadata, record = self._metadata, self.calls.append
        clock, randrange = time.monotonic, random.randrange
        while self._left > 0 and clock() < until:
            self._left -= 1
            request_id, customer = str(uuid7()), randrange(count)
            request = before + request_id.encode() + between + customers[customer] + after
            sent_at = clock()
            call = method(request, timeout=CALL_SECONDS_MAX, metadata=metadata)
            try:
                body = await call
            except grpc.aio.AioRpcError as error:
                code, body = NUMBERS[error.code()], status_in(error.trailing_metadata())
                record((sent_at, clock(), request_id, customer, code, body))
            else:
                record((sent_at, clock(), request_id, customer, OK, body))

    def attempts(self, customers: list[UUID]) -> list[Attempt]:
        """Every call as an attempt with one answer: the benchmark sends nothing twice."""
        return [
            Attempt(
                UUID(request_id),
                self.target.offer_id,
                customers[customer],
                None,
                [Answer(sent_at, answered_at, code, body)],
            )
            for sent_at, answered_at, request_id, customer, code, body in self.calls
        ]


async def main() -> None:
    # The calls of a round are kept: looking through them for cycles again and again finds none.
    gc.disable()
    begin = decode(await read_line(), Begin)
    clients = {target.name: Client(target, begin) for target in begin.targets}
    for client in clients.values():
        await client.connect()
    answer(RoundResult({}))
    while line := await read_line():
        match msgspec.json.decode(line, type=Round | Save):
            case Round() as order:
                answer(await clients[order.target].load(order))
            case Save() as order:
                attempts = clients[order.target].attempts(begin.customers)
                write_attempts(Path(order.file), attempts)
                answer(RoundResult({}))


async def read_line() -> bytes:
    return await asyncio.to_thread(sys.stdin.buffer.readline)


def decode(line: bytes, kind: type[Begin]) -> Begin:
    return msgspec.json.decode(line, type=kind)


def answer(result: RoundResult) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
