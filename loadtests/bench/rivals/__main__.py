"""A rival as a server.

`python -m loadtests.bench.rivals NAME --port PORT --workers N --folder FOLDER`

Each worker is a process of its own on the shared port, with the event loop, the core's options and
the settings of Guerdon's workers. A file `serving-N` in the folder says that worker N takes calls.
"""

import argparse
import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import grpc
import uvloop

from guerdon.limits import CALLS_IN_PROGRESS_MAX, DRAIN_SECONDS_MAX
from guerdon.transport.server import OPTIONS
from loadtests.bench.rivals import echo, one_call, textbook
from loadtests.bench.rivals.methods import ECHO, ONE_CALL, TEXTBOOK

RawMethod = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
MakeMethod = Callable[[], contextlib.AbstractAsyncContextManager[RawMethod]]

RIVALS: dict[str, tuple[str, MakeMethod]] = {
    "echo": (ECHO, echo.method),
    "textbook": (TEXTBOOK, textbook.method),
    "one_call": (ONE_CALL, one_call.method),
}


class Handlers(grpc.GenericRpcHandler):
    """Hands bytes to the one method and takes bytes from it."""

    def __init__(self, path: str, method: RawMethod) -> None:
        self._path = path
        self._handler: Handler = grpc.unary_unary_rpc_method_handler(method)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        return self._handler if handler_call_details.method == self._path else None


def main() -> int:
    arguments = parse_arguments()
    if arguments.worker is not None:
        return uvloop.run(work(arguments))
    workers = [start_worker(number) for number in range(arguments.workers)]

    def stop_all(*_: object) -> None:
        for worker in workers:
            worker.terminate()

    signal.signal(signal.SIGTERM, stop_all)
    return max(abs(worker.wait()) for worker in workers)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.rivals", description=__doc__)
    parser.add_argument("rival", choices=RIVALS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--worker", type=int, help="be this worker")
    return parser.parse_args()


def start_worker(number: int) -> "subprocess.Popen[bytes]":
    """Its standard input ends with this process, and it with that."""
    command = [
        sys.executable,
        "-m",
        "loadtests.bench.rivals",
        *sys.argv[1:],
        "--worker",
        str(number),
    ]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


async def work(arguments: argparse.Namespace) -> int:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), stop.set)
    path, make_method = RIVALS[arguments.rival]
    async with make_method() as method:
        server = grpc.aio.server(
            options=OPTIONS,
            maximum_concurrent_rpcs=CALLS_IN_PROGRESS_MAX,
            compression=grpc.Compression.NoCompression,
        )
        server.add_generic_rpc_handlers((Handlers(path, method),))
        server.add_insecure_port(f"127.0.0.1:{arguments.port}")
        await server.start()
        arguments.folder.joinpath(f"serving-{arguments.worker}").touch()
        await stop.wait()
        await server.stop(DRAIN_SECONDS_MAX)
    return 0


if __name__ == "__main__":
    sys.exit(main())
