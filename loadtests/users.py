"""The clients of the load test under Locust: `python -m loadtests.users`, with an Order on standard
input. Every user has a connection of its own; the attempts that they made go to the order's file.
"""

# ruff: noqa: E402
# Locust patches the standard library for gevent, which must come before anybody else looks at it;
# gRPC learns of it before the first channel is made.
import gevent.monkey  # type: ignore[import-untyped]  # No types are shipped.

gevent.monkey.patch_all()
import grpc.experimental.gevent

grpc.experimental.gevent.init_gevent()

import random
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import gevent
import grpc
import msgspec
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser
from uuid_utils.compat import uuid7

from guerdon.api.offers.v1.offer_service_pb2 import RedeemRequest
from guerdon.api.offers.v1.pricing_pb2 import Line
from loadtests.admin import CURRENCY
from loadtests.bench.rivals.methods import REDEEM
from loadtests.history import (
    NUMBERS,
    OK,
    REPLAYED,
    Answer,
    Attempt,
    status_in,
    write_attempts,
)
from loadtests.load_orders import Order, Result
from loadtests.load_plan import Manner

PATIENCE_SECONDS = 5.0
IMPATIENCE_SECONDS = (0.0005, 0.005)
# Tries until an answer is definite, and seconds between two of them: half a minute in all.
TRIES_MAX = 100
PAUSE_SECONDS = (0.05, 0.5)
UNIT_PRICE_MINOR = 1000
MILLISECONDS = 1000
# How often the end is looked for, and how often somebody is told how far it is.
POLL_SECONDS = 0.2
TELL_SECONDS = 5.0


class Work:
    """The wishes that nobody took yet, and the attempts that were made of the others."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.wishes = deque(order.wishes)
        self.attempts: list[Attempt] = []
        self.finished = 0

    @property
    def is_done(self) -> bool:
        return self.finished == len(self.order.wishes)


class Customer(User):
    """Takes wishes and fulfils them, one after the other. All users work on the same Work."""

    work: ClassVar[Work]

    def on_start(self) -> None:
        order = self.work.order
        options = (("grpc.use_local_subchannel_pool", 1),)
        self._channel = grpc.insecure_channel(order.address, options=options)
        self._redeem: Any = self._channel.unary_unary(REDEEM)
        self._metadata = (("authorization", f"Bearer {order.api_key}"),)

    def on_stop(self) -> None:
        self._channel.close()

    @task
    def fulfil_a_wish(self) -> None:
        if not self.work.wishes:
            raise StopUser
        wish = self.work.wishes.popleft()
        attempt = Attempt(uuid7(), wish.offer_id, wish.customer_id, wish.product_id, [])
        self.work.attempts.append(attempt)
        if wish.manner is Manner.IMPATIENT:
            self._send(attempt, random.uniform(*IMPATIENCE_SECONDS))
        if wish.manner is Manner.TWINS:
            twin = gevent.spawn(self._send_until_definite, attempt)
            self._send_until_definite(attempt)
            twin.join()
        else:
            self._send_until_definite(attempt)
        if wish.manner is Manner.AGAIN:
            self._send_until_definite(attempt)
        self.work.finished += 1

    def _send_until_definite(self, attempt: Attempt) -> None:
        for _ in range(TRIES_MAX):
            if self._send(attempt, PATIENCE_SECONDS).is_definite:
                return
            gevent.sleep(random.uniform(*PAUSE_SECONDS))

    def _send(self, attempt: Attempt, timeout_seconds: float) -> Answer:
        request = request_of(attempt)
        sent_at = time.monotonic()
        try:
            body, call = self._redeem.with_call(
                request, timeout=timeout_seconds, metadata=self._metadata
            )
            replayed = REPLAYED in (call.trailing_metadata() or ())
            answer = Answer(sent_at, time.monotonic(), OK, body, replayed)
        except grpc.RpcError as error:
            told: Any = error
            body = status_in(told.trailing_metadata())
            answer = Answer(sent_at, time.monotonic(), NUMBERS[told.code()], body)
        attempt.answers.append(answer)
        self._tell_locust(answer)
        return answer

    def _tell_locust(self, answer: Answer) -> None:
        name = "OK" if answer.is_grant else answer.reason or "no answer"
        self.environment.events.request.fire(
            request_type="Redeem",
            name=name,
            response_time=(answer.answered_at - answer.sent_at) * MILLISECONDS,
            response_length=len(answer.body),
            exception=None,
            context={},
        )


def request_of(attempt: Attempt) -> bytes:
    """The same bytes each time."""
    return RedeemRequest(
        request_id=str(attempt.request_id),
        offer_id=str(attempt.offer_id),
        customer_id=str(attempt.customer_id),
        line=Line(
            product_id=text_of(attempt.product_id), quantity=1, unit_price_minor=UNIT_PRICE_MINOR
        ),
        currency=CURRENCY,
    ).SerializeToString()


def text_of(product_id: UUID | None) -> str:
    return "" if product_id is None else str(product_id)


def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    Customer.work = Work(order)
    environment = Environment(user_classes=[Customer])
    runner = environment.create_local_runner()
    started = time.monotonic()
    runner.start(order.users, spawn_rate=order.users)
    wait_for(Customer.work, started + order.seconds_max)
    seconds = time.monotonic() - started
    runner.quit()
    write_attempts(Path(order.attempts_file), Customer.work.attempts)
    granted = environment.stats.get("OK", "Redeem")
    result = Result(
        seconds=seconds,
        calls=environment.stats.total.num_requests,
        median_milliseconds=granted.get_response_time_percentile(0.5),
        p99_milliseconds=granted.get_response_time_percentile(0.99),
    )
    sys.stdout.buffer.write(msgspec.json.encode(result))
    sys.stdout.buffer.flush()


def wait_for(work: Work, deadline: float) -> None:
    """Until everything is done or the time is over; tells on standard error how far it is."""
    tell_at = time.monotonic() + TELL_SECONDS
    while not work.is_done and time.monotonic() < deadline:
        gevent.sleep(POLL_SECONDS)
        if time.monotonic() > tell_at:
            tell_at += TELL_SECONDS
            print(f"  {work.finished:,} of {len(work.order.wishes):,} attempts", file=sys.stderr)


if __name__ == "__main__":
    main()
