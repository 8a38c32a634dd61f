"""A worker process: one event loop, one gRPC server on the shared port.

Started by the supervisor with one end of a socket pair (see serving/messages.py). It ends by itself
when the supervisor is gone: the pair's end of stream tells, at once and however that one died.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import structlog
import uvloop
from prometheus_client import CollectorRegistry, values

from guerdon import bootstrap
from guerdon.config import settings_from_json
from guerdon.domain.errors import GuerdonError
from guerdon.limits import (
    DRAIN_SECONDS_MAX,
    WORKER_MESSAGE_BYTES_MAX,
    WRITE_PROOF_AGE_SECONDS_MAX,
    WRITE_PROOF_SECONDS,
)
from guerdon.serving.logs import configure_logs
from guerdon.serving.messages import (
    CannotServe,
    ExitCode,
    NotYet,
    Order,
    Phase,
    Report,
    decode_order,
    encode,
)
from guerdon.serving.tasks import end
from guerdon.serving.tracing import start_tracing
from guerdon.telemetry import LOG_ERROR, PrometheusMetrics

log = structlog.get_logger()

# New objects, less those that went, before the youngest are collected; a megabyte or two of them.
COLLECT_AFTER_OBJECTS = 10_000
# Collections of the younger generation before one of the next.
COLLECT_OLDER_AFTER = (20, 50)


def run_worker(descriptor: int) -> int:
    """Serve until told to stop; the exit code is one of ExitCode, or 0."""
    # Ctrl-C reaches every process of a terminal; the supervisor alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    return uvloop.run(_work(socket.socket(fileno=descriptor)))


async def _work(pair: socket.socket) -> int:
    pair.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=pair, limit=WORKER_MESSAGE_BYTES_MAX)
    try:
        order = decode_order(await reader.readline())
    except (msgspec.DecodeError, ValueError):
        # The supervisor died before it had said anything.
        return ExitCode.UNAVAILABLE
    worker = Worker(order, writer)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    watch = asyncio.create_task(_stop_at_end_of(reader, stop))
    try:
        return await worker.serve_until(stop)
    finally:
        watch.cancel()
        writer.close()


async def _stop_at_end_of(reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()
    stop.set()


def _fix_metrics_to(pid: int) -> None:
    """Metrics are kept in files of this process. The library asks for its pid at every count, lest
    it was forked; a worker never forks, and eleven system calls a Redeem are worth saving."""
    library: Any = values
    library.ValueClass = library.MultiProcessValue(lambda: pid)


def _calm_the_collector() -> None:
    """A call leaves dozens of short-lived objects and hardly a cycle. Collecting as often as Python
    does by default took a tenth of a Redeem's CPU (measured), most of it over what never goes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, *COLLECT_OLDER_AFTER)


class Worker:
    """Builds the server, serves, reports, drains."""

    def __init__(self, order: Order, writer: asyncio.StreamWriter) -> None:
        self._settings = settings_from_json(order.settings)
        self._order = order
        self._writer = writer
        configure_logs(self._settings.log_format, self._settings.log_level, order.worker)

    async def serve_until(self, stop: asyncio.Event) -> int:
        """The exit code. A server that cannot be built says why, in the log and to its parent."""
        end_tracing = start_tracing(self._settings, self._order.worker)
        try:
            _fix_metrics_to(os.getpid())
            metrics = PrometheusMetrics(CollectorRegistry())
            async with bootstrap.application(self._settings, metrics) as application:
                _calm_the_collector()
                await self._serve(application, stop)
        except CannotServe as error:
            self._report(Report(Phase.STARTING, problem=str(error)))
            return ExitCode.CONFIGURATION
        except NotYet as error:
            self._report(Report(Phase.STARTING, problem=str(error)))
            return ExitCode.UNAVAILABLE
        except Exception:
            log.exception("worker failed")
            return ExitCode.DEFECT
        finally:
            await asyncio.to_thread(end_tracing)
        return 0

    async def _serve(self, application: bootstrap.Application, stop: asyncio.Event) -> None:
        await application.server.start()
        async with self._proving(application):
            await stop.wait()
            self._report(Report(Phase.DRAINING))
            await application.server.stop(DRAIN_SECONDS_MAX)

    @contextlib.asynccontextmanager
    async def _proving(self, application: bootstrap.Application) -> AsyncIterator[None]:
        proving = asyncio.create_task(self._prove_for_ever(application))
        try:
            yield
        finally:
            await end(proving)

    async def _prove_for_ever(self, application: bootstrap.Application) -> None:
        """Tell the load balancers' health service and the supervisor after every proof."""
        problem: str | None = None
        while True:
            before, problem = problem, await _problem_with_writing(application)
            if problem != before:
                await application.server.set_healthy(problem == "")
                self._log_change(problem)
            self._report(Report(Phase.SERVING, writable=problem == "", problem=problem))
            application.sample_gauges()
            await asyncio.sleep(WRITE_PROOF_SECONDS)

    def _log_change(self, problem: str) -> None:
        if problem:
            log.warning("cannot write", **{LOG_ERROR: problem})
        else:
            log.info("serving")

    def _report(self, report: Report) -> None:
        # A killed supervisor hears nothing; the calls that are under way end all the same.
        if not self._writer.is_closing():
            self._writer.write(encode(report))


async def _problem_with_writing(application: bootstrap.Application) -> str:
    """'' when a row could just be written, else why not."""
    try:
        async with asyncio.timeout(WRITE_PROOF_AGE_SECONDS_MAX):
            await application.prove_writable()
    except (GuerdonError, OSError, TimeoutError) as error:
        cause = error.__cause__ or error
        return f"{type(cause).__name__}: {cause}"
    return ""


if __name__ == "__main__":
    sys.exit(run_worker(int(sys.argv[1])))
