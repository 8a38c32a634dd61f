"""The parent process: starts the workers, replaces those that end, and stops them in order."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from guerdon.config import Settings, settings_to_json
from guerdon.limits import (
    DRAIN_SECONDS_MAX,
    WORKER_END_SECONDS_MAX,
    WORKER_MESSAGE_BYTES_MAX,
    WORKER_RESTART_SECONDS_MAX,
    WORKER_RESTART_SECONDS_MIN,
    WORKER_SILENT_LOOK_SECONDS,
    WORKER_SILENT_LOOKS_MAX,
    WORKER_START_SECONDS_MAX,
    WORKER_STEADY_SECONDS,
)
from guerdon.serving.addresses import reserved_port, shown_address
from guerdon.serving.board import Board
from guerdon.serving.messages import (
    CannotServe,
    ExitCode,
    Order,
    Phase,
    decode_report,
    encode,
)
from guerdon.serving.metrics_export import exported_metrics
from guerdon.serving.metrics_folder import metrics_folder
from guerdon.serving.monitor import monitor
from guerdon.telemetry import LOG_ERROR, LOG_WORKER

METRICS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

log = structlog.get_logger()


class Serving(msgspec.Struct, frozen=True):
    """Where to reach what runs now."""

    address: str
    monitor_url: str


async def supervise(settings: Settings, when_serving: Callable[[Serving], None]) -> None:
    """Serve until SIGINT or SIGTERM; `when_serving` is called once, when every worker serves.

    Raises SettingsInvalid for ports that cannot be had, CannotServe when a first worker refuses.
    """
    board = Board()
    registry = CollectorRegistry()
    registry.register(board)
    with metrics_folder() as folder:
        path = str(folder)
        MultiProcessCollector(registry, path=path)  # type: ignore[no-untyped-call]  # No types.
        with (
            monitor(settings.monitor_host, settings.monitor_port, board, registry) as monitor_port,
            exported_metrics(settings, registry),
        ):
            async with reserved_port(settings.host, settings.port) as port:
                serving = Serving(
                    shown_address(settings.host, port),
                    f"http://{shown_address(settings.monitor_host, monitor_port)}",
                )
                held = settings.model_copy(update={"port": port})
                supervisor = Supervisor(held, board, folder)
                await supervisor.run(lambda: when_serving(serving))


class Supervisor:
    """Keeps `settings.workers` workers alive until told to stop."""

    def __init__(self, settings: Settings, board: Board, metrics_folder: Path) -> None:
        self._settings = settings
        self._board = board
        self._metrics_folder = metrics_folder
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        self._unserved = set(range(settings.workers))

    async def run(self, when_serving: Callable[[], None]) -> None:
        self._when_serving = when_serving
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(self._settings.workers):
                    group.create_task(self._keep(index))
        except ExceptionGroup as errors:
            # Several workers may refuse for the same reason; a person needs to hear it once.
            refused = errors.subgroup(CannotServe)
            raise refused.exceptions[0] if refused else errors from None
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        """The first one asks to drain, the second does not wait for it."""
        if self._stop.is_set():
            self._kill.set()
        self._stop.set()

    async def _keep(self, index: int) -> None:
        failures = 0
        while not self._stop.is_set():
            started = time.monotonic()
            worker = WorkerProcess(index, self._settings, self._board, self._metrics_folder)
            code = await worker.run(self._stop, self._kill, lambda: self._served(index))
            if self._stop.is_set():
                return
            if code == ExitCode.CONFIGURATION and index in self._unserved:
                raise CannotServe(worker.problem)
            steady = time.monotonic() - started > WORKER_STEADY_SECONDS
            failures = 1 if steady else failures + 1
            log.warning("worker ended", code=code, **{LOG_WORKER: index, LOG_ERROR: worker.problem})
            await self._pause(failures)

    def _served(self, index: int) -> None:
        if index in self._unserved:
            self._unserved.remove(index)
            if not self._unserved:
                self._when_serving()

    async def _pause(self, failures: int) -> None:
        seconds = WORKER_RESTART_SECONDS_MIN * 2 ** min(failures - 1, 16)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), min(seconds, WORKER_RESTART_SECONDS_MAX))


class WorkerProcess:
    """One process from its start to its end."""

    def __init__(self, index: int, settings: Settings, board: Board, metrics_folder: Path) -> None:
        self._index = index
        self._settings = settings
        self._board = board
        self._metrics_folder = metrics_folder
        self._serves = asyncio.Event()
        self._heard = asyncio.Event()
        self._drains = False
        self.problem = ""

    async def run(
        self, stop: asyncio.Event, kill: asyncio.Event, when_serving: Callable[[], None]
    ) -> int:
        """Its exit code; a negative number is the signal that ended it."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await self._spawn(theirs.fileno())
        self._board.started(self._index, process.pid)
        reader, writer = await asyncio.open_connection(sock=ours, limit=WORKER_MESSAGE_BYTES_MAX)
        writer.write(encode(Order(self._index, settings_to_json(self._settings))))
        tasks = [
            asyncio.create_task(self._read(reader, when_serving)),
            asyncio.create_task(self._end_when(process, stop, kill)),
            asyncio.create_task(self._kill_when_silent(process)),
        ]
        try:
            code = await process.wait()
            # What it said last is in the stream still.
            await tasks[0]
            return code
        except asyncio.CancelledError:
            # A sibling cannot serve, so nobody shall.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        finally:
            for task in tasks:
                task.cancel()
            writer.close()
            self._board.ended(self._index, unexpectedly=not stop.is_set())
            folder = str(self._metrics_folder)
            mark_process_dead(process.pid, folder)  # type: ignore[no-untyped-call]  # No types.

    async def _spawn(self, descriptor: int) -> asyncio.subprocess.Process:
        """A new interpreter: gRPC does not survive a fork."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "guerdon.cli.worker",
            str(descriptor),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=[descriptor],
            env=os.environ | {METRICS_FOLDER_VARIABLE: str(self._metrics_folder)},
        )

    async def _read(self, reader: asyncio.StreamReader, when_serving: Callable[[], None]) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                report = decode_report(line)
                self._heard.set()
                self._drains = report.phase is Phase.DRAINING
                self._board.heard(self._index, report)
                self.problem = report.problem
                if report.phase is Phase.SERVING and report.writable:
                    self._serves.set()
                    when_serving()

    async def _kill_when_silent(self, process: asyncio.subprocess.Process) -> None:
        """A worker that serves tells so every few seconds; one that does not is frozen.

        It is given several looks in a row, so that a supervisor that stood still itself, as with
        the whole machine, hears what was said meanwhile before it judges.
        """
        await self._serves.wait()
        silent_looks = 0
        while silent_looks < WORKER_SILENT_LOOKS_MAX:
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), WORKER_SILENT_LOOK_SECONDS)
            except TimeoutError:
                silent_looks += 1
            else:
                silent_looks = 0
            if self._drains:
                return
        self.problem = f"silent for {WORKER_SILENT_LOOKS_MAX * WORKER_SILENT_LOOK_SECONDS:.0f} s"
        with contextlib.suppress(ProcessLookupError):
            # It does not listen to anything less; its connections end with it.
            process.kill()

    async def _end_when(
        self, process: asyncio.subprocess.Process, stop: asyncio.Event, kill: asyncio.Event
    ) -> None:
        """Asks it to stop when told so, and kills it when it is late, at its start or its end."""
        starting = asyncio.create_task(self._serves.wait())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                [starting, stopping],
                timeout=WORKER_START_SECONDS_MAX,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if starting.done() and not stopping.done():
                await stopping
        finally:
            starting.cancel()
            stopping.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(kill.wait(), DRAIN_SECONDS_MAX + WORKER_END_SECONDS_MAX)
            process.kill()
