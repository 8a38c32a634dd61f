"""The client processes of the benchmark, all loading the same target at the same time."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtests import ROOT
from loadtests.bench.cpu import Meter, Usage
from loadtests.bench.generator import Begin, Order, Round, RoundResult, Save
from loadtests.history import Attempt, read_attempts

# Seconds before a round counts: queues and batches find their size.
WARM_UP_SECONDS = 0.7
# Seconds between an order and the start of its round, for all clients to have read it.
HEAD_START_SECONDS = 0.1
# Seconds a round of a number of calls may take.
COUNTED_ROUND_SECONDS_MAX = 60.0


class Measured(msgspec.Struct, frozen=True):
    """One round: calls by status and their latencies over all clients, and the CPU they took."""

    seconds: float
    calls: dict[str, int]
    latencies_seconds: list[float]
    usage: Usage

    @property
    def calls_per_second(self) -> float:
        return sum(self.calls.values()) / self.seconds


class Fleet:
    """The clients, and the meter that watches them and the servers."""

    def __init__(
        self, clients: "list[subprocess.Popen[bytes]]", meter: Meter, ports: dict[str, int]
    ) -> None:
        self._clients = clients
        self._meter = meter
        self._ports = ports

    def measure(self, target: str, seconds: float) -> Measured:
        """One round against the target; both clocks and meters stop before its calls do."""
        counts_from = time.monotonic() + HEAD_START_SECONDS + WARM_UP_SECONDS
        counts_until = counts_from + seconds
        self._tell(Round(target, counts_from, counts_until))
        sleep_until(counts_from)
        before = self._meter.read(self._ports[target])
        sleep_until(counts_until)
        usage = self._meter.read(self._ports[target]).since(before)
        results = self._results()
        calls: dict[str, int] = {}
        for result in results:
            for name, count in result.calls.items():
                calls[name] = calls.get(name, 0) + count
        latencies = [seconds for result in results for seconds in result.latencies_seconds]
        return Measured(seconds, calls, latencies, usage)

    def send(self, target: str, calls: int) -> None:
        """So many calls by each client, as fast as they go."""
        now = time.monotonic()
        self._tell(Round(target, now, now + COUNTED_ROUND_SECONDS_MAX, calls))
        self._results()

    def attempts(self, target: str, folder: Path) -> list[Attempt]:
        """Everything that was sent to the target so far."""
        attempts: list[Attempt] = []
        for number, client in enumerate(self._clients):
            file = folder / f"{target}-{number}"
            self._tell_one(client, Save(target, str(file)))
            self._result(client)
            attempts += read_attempts(file)
            file.unlink()
        return attempts

    def _tell(self, order: Order) -> None:
        for client in self._clients:
            self._tell_one(client, order)

    def _tell_one(self, client: "subprocess.Popen[bytes]", order: Order) -> None:
        assert client.stdin is not None
        client.stdin.write(msgspec.json.encode(order) + b"\n")
        client.stdin.flush()

    def _results(self) -> list[RoundResult]:
        return [self._result(client) for client in self._clients]

    def _result(self, client: "subprocess.Popen[bytes]") -> RoundResult:
        assert client.stdout is not None
        line = client.stdout.readline()
        if not line:
            raise RuntimeError(f"a client process ended with {client.wait()}")
        return msgspec.json.decode(line, type=RoundResult)


@contextlib.contextmanager
def fleet_of(
    count: int, begin: Begin, database_pids: list[int], redis_pids: list[int]
) -> Iterator[Fleet]:
    """`count` connected clients, each with the connections and calls in flight of `begin`. They end
    with the block, or when this process does: their standard input ends then."""
    command = [sys.executable, "-m", "loadtests.bench.generator"]
    clients = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    roots = {
        "generator": [client.pid for client in clients],
        "postgres": database_pids,
        "redis": redis_pids,
    }
    ports = {target.name: int(target.address.rpartition(":")[2]) for target in begin.targets}
    fleet = Fleet(clients, Meter(roots), ports)
    try:
        fleet._tell(begin)
        fleet._results()
        yield fleet
    finally:
        for client in clients:
            if client.stdin:
                client.stdin.close()
            client.wait()


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
