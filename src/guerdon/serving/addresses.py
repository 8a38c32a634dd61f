"""Ports: held by the supervisor for all its workers, so that none of them can lose it."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

from guerdon.config import SettingsInvalid
from guerdon.limits import PORT_WAIT_SECONDS_MAX

RETRY_SECONDS = 0.05


@contextlib.asynccontextmanager
async def reserved_port(host: str, port: int) -> AsyncIterator[int]:
    """A port that own workers can listen on together, and nobody else can take.

    0 chooses a free one. Raises SettingsInvalid when it stays in use.
    """
    holder = await _hold(host, port)
    try:
        yield holder.getsockname()[1]
    finally:
        holder.close()


async def _hold(host: str, port: int) -> socket.socket:
    # The workers of a supervisor that was killed need a moment to notice and let go.
    deadline = time.monotonic() + PORT_WAIT_SECONDS_MAX
    while True:
        try:
            return _bind_shared(host, port)
        except PermissionError:
            raise SettingsInvalid(
                f"This user may not listen on port {port}: set GUERDON_PORT to one above 1023."
            ) from None
        except OSError as error:
            if time.monotonic() > deadline:
                raise SettingsInvalid(
                    f"Cannot listen on {host}:{port} ({error.strerror or error}): another server "
                    "may be running there. Stop it, or set GUERDON_PORT; 0 takes a free one."
                ) from None
        await asyncio.sleep(RETRY_SECONDS)


def _bind_shared(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if port:
        # SO_REUSEPORT alone would also share the port with another server of the same user.
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    holder = socket.socket(family, kind, protocol)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
    except OSError:
        holder.close()
        raise
    return holder


def shown_address(host: str, port: int) -> str:
    """host:port as people and gRPC write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
