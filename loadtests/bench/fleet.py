"""The load generator at work: a Go process, its connections to the targets, and what it measures.

One process is enough, because a call costs it little; it is the same for every target, so that
their ratios are fair.
"""

import contextlib
import itertools
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console

from guerdon.embedded.temporary import temporary_folder
from loadtests.bench import orders
from loadtests.bench.balance import balanced
from loadtests.bench.calls import attempts_of, read_calls
from loadtests.bench.cpu import Meter, Usage
from loadtests.bench.go import generator_program
from loadtests.bench.orders import Target
from loadtests.history import CODES, Attempt

# TCP connections to a target: callers keep few, and each of them carries many calls.
CONNECTIONS = 16
# Calls in flight over all connections in a closed loop: enough to keep every worker busy.
IN_FLIGHT = 256
# Calls in flight in an open loop: more than the servers take at a time, so that only a server that
# stands still makes calls late.
OPEN_IN_FLIGHT_MAX = 4_096
# Seconds before a round counts: queues and batches find their size.
WARM_UP_SECONDS = 0.5
# Seconds between an order and the start of its round.
HEAD_START_SECONDS = 0.05
# Seconds a round of a number of calls may take.
COUNTED_ROUND_SECONDS_MAX = 60.0

Kind = TypeVar("Kind", bound=orders.Answer)


class Measured(msgspec.Struct, frozen=True):
    """One round: calls by status, also for each second in which they ended, their latencies, and
    the CPU that was used meanwhile.

    In an open loop latencies begin at the intended moments, and `late` calls found
    `in_flight_max` in flight at theirs; 0 in a closed loop.
    """

    seconds: float
    calls: dict[str, int]
    calls_by_second: dict[str, list[int]]
    latencies_seconds: list[float]
    usage: Usage
    late: int = 0
    in_flight_max: int = 0

    @property
    def calls_per_second(self) -> float:
        return sum(self.calls.values()) / self.seconds


class Fleet:
    """Orders to the generator, and the meter that watches it and the servers."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", meter: Meter, calls_folder: Path
    ) -> None:
        self._process = process
        self._meter = meter
        self._folder = calls_folder
        self._file_numbers = itertools.count()
        self._targets: dict[str, Target] = {}

    def connect(self, target: Target, connections: int = CONNECTIONS) -> dict[int, int]:
        """Connects to a target of a new name, each worker of its server by as many connections:
        gives their number by worker."""
        if target.keeps_calls and "request_id" in target.template.fields:
            file = self._folder / f"calls-{next(self._file_numbers)}"
            target = msgspec.structs.replace(target, calls_file=str(file))
        self._targets[target.name] = target

        def open_more() -> list[int]:
            return self._ask(orders.Connect(target, connections), orders.Connected).ports

        kept = balanced(open_more, port_of(target), connections)
        ports = [port for of_worker in kept.values() for port in of_worker]
        self._ask(orders.Keep(target.name, ports), orders.Connected)
        return {worker: len(of_worker) for worker, of_worker in kept.items()}

    def closed_loop(
        self,
        name: str,
        seconds: float,
        in_flight: int = IN_FLIGHT,
        warm_up_seconds: float = WARM_UP_SECONDS,
    ) -> Measured:
        """As fast as the answers come: each call that ends makes room for another."""
        counts_from, counts_until = counted_time(seconds, warm_up_seconds)
        return self._measure(orders.ClosedLoop(name, in_flight, counts_from, counts_until))

    def open_loop(
        self,
        name: str,
        seconds: float,
        calls_per_second: float,
        in_flight_max: int = OPEN_IN_FLIGHT_MAX,
        warm_up_seconds: float = WARM_UP_SECONDS,
    ) -> Measured:
        """At a rate, whatever comes back: latencies as customers have them."""
        times = counted_time(seconds, warm_up_seconds)
        return self._measure(orders.OpenLoop(name, calls_per_second, *times, in_flight_max))

    def send(self, name: str, calls: int, in_flight: int = IN_FLIGHT) -> dict[str, int]:
        """So many calls as fast as they go; gives those of the first minute by status."""
        now = time.monotonic()
        until = now + COUNTED_ROUND_SECONDS_MAX
        order = orders.ClosedLoop(name, in_flight, now, until, calls)
        return by_name(self._ask(order, orders.RoundResult))

    def begin_patience(self, order: orders.PatientLoop) -> None:
        """Callers who come back until they know; nothing else can be asked before their end."""
        self._tell(order)

    def end_patience(self) -> orders.PatienceResult:
        """Waits for the end of what was begun."""
        return self._answer(orders.PatienceResult)

    def attempts(self, name: str) -> Iterator[Attempt]:
        """Everything that was sent to the target so far, read as it is asked for.

        Raises ValueError for a target whose calls are not kept.
        """
        target = self._targets[name]
        if not target.calls_file:
            raise ValueError(f"the calls to {name} are not kept")
        self._ask(orders.Flush(name), orders.Done)
        return attempts_of(target, read_calls(Path(target.calls_file)))

    def drop(self, name: str) -> None:
        """Closes the connections to the target and forgets its calls; its name is free again."""
        self._ask(orders.Drop(name), orders.Done)
        target = self._targets.pop(name)
        if target.calls_file:
            Path(target.calls_file).unlink()

    def _measure(self, order: orders.ClosedLoop | orders.OpenLoop) -> Measured:
        """Clocks and meters stop before the calls do."""
        port = port_of(self._targets[order.target])
        self._tell(order)
        sleep_until(order.counts_from)
        before = self._meter.read(port)
        sleep_until(order.counts_until)
        usage = self._meter.read(port).since(before)
        result = self._answer(orders.RoundResult)
        return Measured(
            seconds=order.counts_until - order.counts_from,
            calls=by_name(result),
            calls_by_second={
                CODES[code].name: calls for code, calls in result.calls_by_second.items()
            },
            latencies_seconds=result.latencies_seconds,
            usage=usage,
            late=result.late,
            in_flight_max=result.in_flight_max,
        )

    def _ask(self, order: orders.Order, kind: type[Kind]) -> Kind:
        self._tell(order)
        return self._answer(kind)

    def _tell(self, order: orders.Order) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()

    def _answer(self, kind: type[Kind]) -> Kind:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended with {self._process.wait()}")
        answer: orders.Answer = msgspec.json.decode(line, type=orders.Answer)
        if isinstance(answer, orders.Failed):
            raise RuntimeError(f"the load generator says: {answer.reason}")
        assert isinstance(answer, kind), "each order has its kind of answer"
        return answer


@contextlib.contextmanager
def fleet_of(roots: Mapping[str, list[int]], console: Console) -> Iterator[Fleet]:
    """A generator without targets, and the components to watch by the ids of their processes. It
    ends with the block, or when this process does: its standard input ends then.

    Raises NoGoError when it cannot be built.
    """
    program = generator_program(console)
    with temporary_folder() as folder:
        process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            yield Fleet(process, Meter({**roots, "generator": [process.pid]}), folder)
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.communicate()


def port_of(target: Target) -> int:
    return int(target.address.rpartition(":")[2])


def by_name(result: orders.RoundResult) -> dict[str, int]:
    """Calls by the name of their status."""
    return {CODES[code].name: sum(calls) for code, calls in result.calls_by_second.items()}


def counted_time(seconds: float, warm_up_seconds: float = WARM_UP_SECONDS) -> tuple[float, float]:
    """From when until when the calls of a round count that is ordered now."""
    counts_from = time.monotonic() + HEAD_START_SECONDS + warm_up_seconds
    return counts_from, counts_from + seconds


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
