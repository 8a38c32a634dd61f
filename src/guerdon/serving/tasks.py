"""Ends what runs beside the server."""

import asyncio
from contextlib import suppress
from typing import Any

from guerdon.limits import CANCEL_AGAIN_SECONDS


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancel the task until it is over.

    Once is not enough: before Python 3.12 asyncio.wait_for loses a cancellation that comes just as
    what it waits for ends, as connections to a server that goes away do.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)
    with suppress(asyncio.CancelledError):
        await task
