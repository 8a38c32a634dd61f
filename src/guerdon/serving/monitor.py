"""HTTP for machines that watch: /metrics, /healthz (it lives) and /readyz (it can write)."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from guerdon.config import SettingsInvalid
from guerdon.limits import MONITOR_REQUEST_SECONDS_MAX
from guerdon.serving.board import Board

JSON = "application/json"
Answer = tuple[int, str, bytes]


@contextlib.contextmanager
def monitor(host: str, port: int, board: Board, registry: CollectorRegistry) -> Iterator[int]:
    """Answers inside the block, from threads of its own; yields the port.

    Raises SettingsInvalid when the port cannot be had.
    """
    try:
        server = _Server((host, port), partial(_Handler, board, registry))
    except OSError as error:
        raise SettingsInvalid(
            f"Cannot listen on {host}:{port} for metrics ({error.strerror or error}): another "
            "server may be running there. Stop it, or set GUERDON_MONITOR_PORT; 0 takes a free one."
        ) from None
    with server:
        thread = threading.Thread(target=server.serve_forever, name="monitor", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A scrape that hangs shall not hold up the end of the process.
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in the middle is its own affair."""


class _Handler(BaseHTTPRequestHandler):
    timeout = MONITOR_REQUEST_SECONDS_MAX
    server_version = "guerdon"
    sys_version = ""

    def __init__(self, board: Board, registry: CollectorRegistry, *rest: object) -> None:
        self._board = board
        self._registry = registry
        super().__init__(*rest)  # type: ignore[arg-type]  # As the server gives it.

    def do_GET(self) -> None:
        status, kind, body = self._answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, path: str) -> Answer:
        if path == "/metrics":
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            return 200, kind, encode(self._registry)
        if path == "/healthz":
            return 200, JSON, b'{"alive": true}\n'
        if path == "/readyz":
            said = self._board.summary()
            return 200 if said["ready"] else 503, JSON, json.dumps(said).encode() + b"\n"
        return 404, JSON, b'{"paths": ["/metrics", "/healthz", "/readyz"]}\n'

    def log_message(self, format: str, *values: object) -> None:
        """Probes every few seconds are not worth a line."""
