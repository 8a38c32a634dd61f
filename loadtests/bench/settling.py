"""Asks again where a call left nobody the wiser, so that the audit judges definite outcomes only.

A round of the benchmark sends nothing twice. What was shed or timed out under load is sent here,
when the load is over, with its own request id until the answer is definite.
"""

import asyncio
import time
from collections.abc import Sequence

import grpc

from loadtests.bench.orders import Target
from loadtests.bench.rivals.methods import REDEEM
from loadtests.bench.targets import redeem_message
from loadtests.history import NUMBERS, OK, REPLAYED, Answer, Attempt, status_in

# Requests that are asked again at once, and seconds for all of them: at a thousand a second a
# whole round may have been shed.
AT_ONCE = 64
SECONDS_MAX = 60.0
CALL_SECONDS_MAX = 5.0
RETRY_SECONDS = 0.05


async def settle(target: Target, attempts: Sequence[Attempt]) -> int:
    """Adds answers to the attempts that have no definite one; gives how many had none. What is
    still open when the time is over stays open, for the audit to find."""
    still_open = [attempt for attempt in attempts if not attempt.is_definite]
    waiting = iter(still_open)
    deadline = time.monotonic() + SECONDS_MAX

    async def work(method: "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]") -> None:
        for attempt in waiting:
            while not attempt.is_definite and time.monotonic() < deadline:
                attempt.answers.append(await ask(method, target, attempt))
                if not attempt.is_definite:
                    await asyncio.sleep(RETRY_SECONDS)

    if still_open:
        async with grpc.aio.insecure_channel(target.address) as channel:
            await asyncio.gather(*(work(channel.unary_unary(REDEEM)) for _ in range(AT_ONCE)))
    return len(still_open)


async def ask(
    method: "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]", target: Target, attempt: Attempt
) -> Answer:
    """The same request as before, whether alone or in a batch then."""
    message = redeem_message(attempt.request_id, attempt.offer_id, attempt.customer_id)
    metadata = (("authorization", f"Bearer {target.api_key}"),)
    sent_at = time.monotonic()
    call = method(message.SerializeToString(), timeout=CALL_SECONDS_MAX, metadata=metadata)
    try:
        body = await call
    except grpc.aio.AioRpcError as error:
        code = NUMBERS[error.code()]
        return Answer(sent_at, time.monotonic(), code, status_in(error.trailing_metadata()))
    # As a list: the metadata itself only knows which names are in it.
    replayed = REPLAYED in list(await call.trailing_metadata())
    return Answer(sent_at, time.monotonic(), OK, body, replayed)
