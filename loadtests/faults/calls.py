"""One client's calls: each is written down before it leaves, and so is its answer."""

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import grpc
import msgspec
from google.protobuf.message import Message

from guerdon.api.offers.v1 import offer_service_pb2, pricing_pb2
from loadtests.admin import CURRENCY
from loadtests.faults.intents import Hearing, Intent, IntentLog, Method, Sending, Stray
from loadtests.history import NUMBERS, OK, REPLAYED, Answer, status_in

SERVICE = "/guerdon.api.offers.v1.OfferService"
UNIT_PRICE_MINOR = 1000
# Seconds a caller gives one try, before it asks elsewhere.
TRY_SECONDS = 2.0
# Connections to each server from one process of clients.
CONNECTIONS = 4
PUSHBACK = "grpc-retry-pushback-ms"
# A client that lost its server finds the next one at once.
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)

# Generic for the type checker only; bytes go in and come out.
Callable: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"


class Reply(msgspec.Struct, frozen=True):
    """An answer, and the seconds that the server asks to wait before the next try."""

    answer: Answer
    pushback_seconds: float | None = None


class Caller:
    """Calls any of the servers, with the key of the intent's tenant."""

    def __init__(
        self, log: IntentLog, addresses: Sequence[str], api_keys: Mapping[UUID, str]
    ) -> None:
        self.log = log
        self._metadata = {
            tenant: (("authorization", f"Bearer {key}"),) for tenant, key in api_keys.items()
        }
        # Neighbours in the list lead to different servers: the next try goes elsewhere.
        self._channels = [
            grpc.aio.insecure_channel(address, options=OPTIONS)
            for _ in range(CONNECTIONS)
            for address in addresses
        ]
        self._methods: dict[tuple[int, str], Callable] = {}
        self._turn = itertools.count()

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def redeem(
        self,
        intent: Intent,
        method: Method = Method.REDEEM,
        *,
        seconds: float = TRY_SECONDS,
        cancel_after: float | None = None,
    ) -> Reply:
        """One try of one Redeem; OTHER sends another body."""
        body = redeem_request(intent, method).SerializeToString()
        return await self._recorded("Redeem", method, intent, body, seconds, cancel_after)

    async def revoke(self, intent: Intent, seconds: float = TRY_SECONDS) -> Reply:
        """One try of one Revoke."""
        request = offer_service_pb2.RevokeRequest(request_id=str(intent.request_id), reason="lab")
        body = request.SerializeToString()
        return await self._recorded("Revoke", Method.REVOKE, intent, body, seconds, None)

    async def redeem_batch(self, intents: Sequence[Intent], *, poison: bool) -> list[Reply]:
        """One try of one RedeemBatch, of one tenant; a reply for each intent. A poisoned batch has
        an item more, which no server can make sense of."""
        requests = [redeem_request(intent, Method.REDEEM) for intent in intents]
        if poison:
            requests.append(offer_service_pb2.RedeemRequest(request_id="poison"))
        request = offer_service_pb2.RedeemBatchRequest(requests=requests)
        numbers = [self._note(intent, Method.REDEEM) for intent in intents]
        body = request.SerializeToString()
        reply = await self._send(intents[0].tenant_id, "RedeemBatch", body, TRY_SECONDS, None)
        answers = item_answers(reply.answer, len(intents))
        for number, answer in zip(numbers, answers, strict=True):
            self._hear(number, answer)
        return [Reply(answer, reply.pushback_seconds) for answer in answers]

    async def look(self, tenant_id: UUID, call: str, request: Message, *, is_foreign: bool) -> None:
        """A call that counts nothing. A foreign one names what belongs to another tenant."""
        reply = await self._send(tenant_id, call, request.SerializeToString(), TRY_SECONDS, None)
        told = reply.answer
        self.log.write(
            Stray(tenant_id, call, is_foreign, told.sent_at, told.answered_at, told.code, told.body)
        )

    async def _recorded(
        self,
        call: str,
        method: Method,
        intent: Intent,
        body: bytes,
        seconds: float,
        cancel_after: float | None,
    ) -> Reply:
        number = self._note(intent, method)
        reply = await self._send(intent.tenant_id, call, body, seconds, cancel_after)
        self._hear(number, reply.answer)
        return reply

    def _note(self, intent: Intent, method: Method) -> int:
        number = self.log.next_number()
        self.log.write(Sending(number, intent.request_id, method, time.monotonic()))
        return number

    def _hear(self, number: int, told: Answer) -> None:
        self.log.write(Hearing(number, told.answered_at, told.code, told.body, told.replayed))

    async def _send(
        self, tenant_id: UUID, name: str, body: bytes, seconds: float, cancel_after: float | None
    ) -> Reply:
        sent_at = time.monotonic()
        call = self._method(name)(body, metadata=self._metadata[tenant_id], timeout=seconds)
        if cancel_after is not None:
            asyncio.get_running_loop().call_later(cancel_after, call.cancel)
        try:
            response = await call
            trailers = await call.trailing_metadata()
        except grpc.aio.AioRpcError as error:
            trailers = error.trailing_metadata()
            code, status = NUMBERS[error.code()], status_in(trailers)
            answer = Answer(sent_at, time.monotonic(), code, status)
            return Reply(answer, pushback_in(trailers))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            cancelled = NUMBERS[grpc.StatusCode.CANCELLED]
            return Reply(Answer(sent_at, time.monotonic(), cancelled))
        replayed = REPLAYED in tuple(trailers or ())
        return Reply(Answer(sent_at, time.monotonic(), OK, response, replayed))

    def _method(self, name: str) -> Callable:
        place = next(self._turn) % len(self._channels)
        method = self._methods.get((place, name))
        if method is None:
            method = self._channels[place].unary_unary(f"{SERVICE}/{name}")
            self._methods[place, name] = method
        return method


def redeem_request(intent: Intent, method: Method) -> offer_service_pb2.RedeemRequest:
    """The same bytes for the same intent and method."""
    quantity = intent.other_quantity if method is Method.OTHER else intent.quantity
    return offer_service_pb2.RedeemRequest(
        request_id=str(intent.request_id),
        offer_id=str(intent.offer_id),
        customer_id=str(intent.customer_id),
        line=line_of(intent, quantity),
        currency=CURRENCY,
        order_ref=intent.order_ref,
    )


def line_of(intent: Intent, quantity: int) -> pricing_pb2.Line:
    """At 10.00 a piece."""
    return pricing_pb2.Line(
        product_id="" if intent.product_id is None else str(intent.product_id),
        quantity=quantity,
        unit_price_minor=UNIT_PRICE_MINOR,
    )


def item_answers(told: Answer, count: int) -> list[Answer]:
    """What a batch's answer says of its first items, as Redeem would have said it."""
    if not told.is_grant:
        return [told] * count
    results = offer_service_pb2.RedeemBatchResponse.FromString(told.body).results
    return [item_answer(told, result) for result in results[:count]]


def item_answer(told: Answer, result: offer_service_pb2.RedeemBatchResult) -> Answer:
    if result.HasField("redemption"):
        response = offer_service_pb2.RedeemResponse(redemption=result.redemption)
        body = response.SerializeToString()
        return msgspec.structs.replace(told, body=body, replayed=result.replayed)
    body = result.status.SerializeToString()
    return msgspec.structs.replace(told, code=result.status.code, body=body)


def pushback_in(trailers: Any) -> float | None:
    for name, value in trailers or ():
        if name == PUSHBACK:
            return max(0, int(value)) / 1000
    return None
