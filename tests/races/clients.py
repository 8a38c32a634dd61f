"""Payment services as the proofs play them: a connection each, and patience until they know."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from uuid import UUID

import grpc
from google.protobuf.message import Message

from guerdon.api.offers.v1 import offer_service_pb2, pricing_pb2
from loadtests.history import NUMBERS, OK, Answer, Attempt, status_in
from tests.support.ledger import new_id

SERVICE = "/guerdon.api.offers.v1.OfferService"
REDEEM = f"{SERVICE}/Redeem"
REVOKE = f"{SERVICE}/Revoke"
ADMIN_SERVICE = "/guerdon.api.admin.v1.OfferAdminService"
# Seconds of one try, and in which an attempt must become definite.
TRY_SECONDS = 5.0
PATIENCE_SECONDS = 90.0
# A client that lost its server finds the next one at once.
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)
PUSHBACK = "grpc-retry-pushback-ms"
UNIT_PRICE_MINOR = 1000


class Progress:
    """How far a load has come, for who acts in the middle of it."""

    def __init__(self) -> None:
        self.settled = 0
        self.indefinite = 0
        self.reasons: set[str] = set()
        self._changed = asyncio.Event()

    def note(self, answer: Answer) -> None:
        if answer.is_definite:
            self.settled += 1
        else:
            self.indefinite += 1
        self.reasons.add(answer.reason)
        self._changed.set()

    async def until(self, holds: "Callable[[Progress], bool]") -> None:
        """Return once it holds."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds(self):
                self._changed.clear()
                await self._changed.wait()


class Client:
    """One connection of one API key. A call that cannot be sent yet waits for the connection."""

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {key}"),)
        self.pushback_seconds: set[float] = set()
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {}

    def begin(
        self, path: str, body: bytes, seconds: float = TRY_SECONDS
    ) -> "grpc.aio.UnaryUnaryCall[bytes, bytes]":
        """The call under way, for who wants to cancel it."""
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = self._channel.unary_unary(path)
        return method(body, metadata=self._metadata, timeout=seconds, wait_for_ready=True)

    async def send(self, path: str, message: Message, seconds: float = TRY_SECONDS) -> Answer:
        """One try of one call."""
        answer, _ = await self._try(path, message.SerializeToString(), seconds)
        return answer

    async def settle(
        self, path: str, message: Message, attempt: Attempt, progress: Progress | None = None
    ) -> Answer:
        """Send until an answer is definite; every answer is noted. The last one is returned."""
        body = message.SerializeToString()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer, pause_seconds = await self._try(path, body, TRY_SECONDS)
            attempt.answers.append(answer)
            if progress is not None:
                progress.note(answer)
            if answer.is_definite:
                return answer
            assert time.monotonic() < deadline, f"{attempt.request_id} stays open: {answer}"
            await asyncio.sleep(pause_seconds)

    async def _try(self, path: str, body: bytes, seconds: float) -> tuple[Answer, float]:
        """The answer, and how long the server asks to wait before the next try."""
        sent_at = time.monotonic()
        call = self.begin(path, body, seconds)
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            trailers = error.trailing_metadata()
            code = NUMBERS[error.code()]
            answer = Answer(sent_at, time.monotonic(), code, status_in(trailers))
            return answer, self._pause_seconds(trailers)
        trailers = await call.trailing_metadata()
        replayed = ("guerdon-replayed", "true") in tuple(trailers or ())
        return Answer(sent_at, time.monotonic(), OK, response, replayed), 0.0

    def _pause_seconds(self, trailers: Iterable[tuple[str, str | bytes]]) -> float:
        for name, value in trailers:
            if name == PUSHBACK:
                seconds = int(str(value)) / 1000
                self.pushback_seconds.add(seconds)
                return seconds
        return 0.0


@contextlib.asynccontextmanager
async def connected(addresses: Sequence[str], key: str, count: int) -> AsyncIterator[list[Client]]:
    """So many clients, spread evenly over the addresses."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(count):
            address = addresses[number % len(addresses)]
            channel = grpc.aio.insecure_channel(address, options=OPTIONS)
            await stack.enter_async_context(channel)
            clients.append(Client(channel, key))
        yield clients


def redeem_message(
    attempt: Attempt, *, quantity: int = 1, unit_price_minor: int = UNIT_PRICE_MINOR
) -> offer_service_pb2.RedeemRequest:
    """One line of the attempt's product, at 10.00 a piece."""
    product_id = "" if attempt.product_id is None else str(attempt.product_id)
    return offer_service_pb2.RedeemRequest(
        request_id=str(attempt.request_id),
        offer_id=str(attempt.offer_id),
        customer_id=str(attempt.customer_id),
        line=pricing_pb2.Line(
            product_id=product_id, quantity=quantity, unit_price_minor=unit_price_minor
        ),
        currency="NGN",
    )


def make_attempts(offer_id: UUID, customers: Sequence[UUID], count: int) -> list[Attempt]:
    """So many, by customers drawn at random, but the same at each run."""
    draw = random.Random(count)
    return [Attempt(new_id(), offer_id, draw.choice(customers)) for _ in range(count)]


async def settle_all(
    clients: Sequence[Client], attempts: Iterable[Attempt], progress: Progress
) -> None:
    """Every client takes the next attempt as soon as its last one is settled."""
    waiting = iter(attempts)

    async def work(client: Client) -> None:
        for attempt in waiting:
            await client.settle(REDEEM, redeem_message(attempt), attempt, progress)

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(work(client))
