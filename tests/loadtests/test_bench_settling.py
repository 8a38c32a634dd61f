"""What a loaded server shed is asked again after the load, with the same request."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from guerdon.api.offers.v1.offer_service_pb2 import RedeemRequest, RedeemResponse
from loadtests.bench import settling
from loadtests.bench.orders import Target, template_of
from loadtests.bench.rivals.methods import REDEEM
from loadtests.bench.targets import REDEEM_MESSAGE
from loadtests.history import NUMBERS, OK, REPLAYED, Answer, Attempt
from tests.support.ledger import new_id

SHED = NUMBERS[grpc.StatusCode.UNAVAILABLE]
SHED_TIMES = 3


class Shedding(grpc.GenericRpcHandler):
    """Sheds each request SHED_TIMES times, or for ever."""

    def __init__(self, for_ever: bool) -> None:
        self.asked: Counter[str] = Counter()
        self._for_ever = for_ever

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        assert handler_call_details.method == REDEEM
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def answer(self, raw: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        request = RedeemRequest.FromString(raw)
        self.asked[request.request_id] += 1
        if self._for_ever or self.asked[request.request_id] <= SHED_TIMES:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "full")
        context.set_trailing_metadata((REPLAYED,))
        response = RedeemResponse()
        response.redemption.request_id = request.request_id
        return response.SerializeToString()


@asynccontextmanager
async def served(handler: Shedding) -> AsyncIterator[Target]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    template = template_of(REDEEM_MESSAGE.SerializeToString())
    yield Target("hot", f"127.0.0.1:{port}", REDEEM, template, api_key="any")
    await server.stop(None)


def attempt(code: int) -> Attempt:
    now = time.monotonic()
    return Attempt(new_id(), new_id(), new_id(), None, [Answer(now, now, code)])


async def test_only_open_requests_are_asked_until_they_are_answered() -> None:
    handler = Shedding(for_ever=False)
    settled, granted = [attempt(SHED) for _ in range(100)], attempt(OK)
    async with served(handler) as target:
        assert await settling.settle(target, [*settled, granted]) == len(settled)
    assert handler.asked == {str(one.request_id): SHED_TIMES + 1 for one in settled}
    for one in settled:
        last = one.answers[-1]
        assert last.is_grant
        assert last.replayed
        assert RedeemResponse.FromString(last.body).redemption.request_id == str(one.request_id)
    assert len(granted.answers) == 1


async def test_what_stays_open_is_left_to_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SECONDS_MAX", 0.3)
    open_for_ever = attempt(SHED)
    async with served(Shedding(for_ever=True)) as target:
        assert await settling.settle(target, [open_for_ever]) == 1
    assert not open_for_ever.is_definite
