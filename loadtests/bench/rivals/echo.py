"""The physical limit of this stack: an empty unary call with a Redeem's sizes."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from guerdon.api.offers.v1.offer_service_pb2 import RedeemResponse
from guerdon.api.offers.v1.pricing_pb2 import PricedLine
from guerdon.api.offers.v1.redemption_pb2 import Redemption

EXAMPLE_ID = "0190c8f2-7d4e-7c3a-9a51-0242ac120002"


def example_response() -> bytes:
    """As long as what Redeem answers in the benchmark."""
    redemption = Redemption(
        request_id=EXAMPLE_ID,
        offer_id=EXAMPLE_ID,
        offer_version=1,
        customer_id=EXAMPLE_ID,
        line=PricedLine(
            quantity=1, unit_price_minor=1000, list_minor=1000, discount_minor=100, paid_minor=900
        ),
        currency="NGN",
        sequence=30_000,
        customer_use=1,
        redeem_time=Timestamp(seconds=1_800_000_000, nanos=123_456_000),
    )
    return RedeemResponse(redemption=redemption).SerializeToString()


@contextlib.asynccontextmanager
async def method() -> AsyncIterator[
    Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]
]:
    """Looks at nothing and always answers the same."""
    response = example_response()

    async def echo(_request: bytes, _context: object) -> bytes:
        return response

    yield echo
