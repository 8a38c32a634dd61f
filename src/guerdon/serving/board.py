"""What the supervisor knows of its workers, for the health page and the metrics."""

import threading
import time
from collections.abc import Iterator

import msgspec
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from guerdon.limits import WRITE_PROOF_AGE_SECONDS_MAX
from guerdon.serving.messages import Phase, Report
from guerdon.telemetry import WORKER_RESTARTS, WORKERS


class WorkerState(msgspec.Struct):
    """One worker as last heard of. `heard_at` is the monotonic clock in seconds."""

    pid: int
    report: Report
    heard_at: float


class Board(Collector):
    """Written by the supervisor's loop, read by the threads of the HTTP page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: dict[int, WorkerState] = {}
        self._restarts = 0

    def started(self, worker: int, pid: int) -> None:
        with self._lock:
            self._workers[worker] = WorkerState(pid, Report(Phase.STARTING), time.monotonic())

    def heard(self, worker: int, report: Report) -> None:
        with self._lock:
            state = self._workers[worker]
            state.report, state.heard_at = report, time.monotonic()

    def ended(self, worker: int, *, unexpectedly: bool) -> None:
        with self._lock:
            self._workers.pop(worker, None)
            self._restarts += unexpectedly

    @property
    def ready(self) -> bool:
        """Whether calls can be answered: some worker serves and has just proved it can write."""
        with self._lock:
            return any(_can_write(state) for state in self._workers.values())

    def summary(self) -> dict[str, object]:
        """For the health page: no addresses, no errors' text, only states."""
        with self._lock:
            workers = {
                str(worker): {
                    "pid": state.pid,
                    "phase": state.report.phase.value,
                    "writable": _can_write(state),
                }
                for worker, state in sorted(self._workers.items())
            }
            return {"ready": any(w["writable"] for w in workers.values()), "workers": workers}

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            phases = [state.report.phase for state in self._workers.values()]
            writable = sum(_can_write(state) for state in self._workers.values())
            restarts = self._restarts
        gauge = GaugeMetricFamily(WORKERS, "Worker processes by state.", labels=["state"])
        for phase in Phase:
            gauge.add_metric([phase.value], phases.count(phase))
        gauge.add_metric(["writable"], writable)
        yield gauge
        yield CounterMetricFamily(
            WORKER_RESTARTS, "Workers that ended unasked and were replaced.", value=restarts
        )


def _can_write(state: WorkerState) -> bool:
    """A worker that fell silent counts as unable: it may be frozen."""
    age_seconds = time.monotonic() - state.heard_at
    report = state.report
    return (
        report.phase is Phase.SERVING
        and report.writable
        and age_seconds <= WRITE_PROOF_AGE_SECONDS_MAX
    )
