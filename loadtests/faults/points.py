"""Faults at the failpoints of a Redeem: a worker is killed, stopped or fails exactly there.

`K3`, inside the locking function, is reached while somebody holds all redeems back; the others
wait for the next Redeem that comes by. See failpoints.py and src/guerdon/serving/failpoints.py.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from guerdon.serving.failpoints import Failpoint, Order
from loadtests.faults.failpoints import arm, disarm, holding_redeems, reached_by
from loadtests.faults.injection import Injection
from loadtests.faults.report import FaultMark
from loadtests.faults.site import Site

PREFIX = "reach_"
POINT_FAULTS = tuple(f"{PREFIX}{point}" for point in Failpoint)
# Seconds that a stopped worker stays so: longer than a caller's deadline at the upper end.
STOPPED_SECONDS = (0.3, 4.0)
# Seconds in which a Redeem must come by, whatever else is broken meanwhile; while all redeems are
# held, for each try.
REACH_SECONDS_MAX = 40.0
HOLD_SECONDS_MAX = 2.0
POLL_SECONDS = 0.02
# From K6 on the outcome is told already, and in the function there is nobody to tell.
ORDERS = {
    Failpoint.LOCKED: (Order.KILL, Order.STOP),
    Failpoint.TOLD: (Order.KILL, Order.STOP),
    Failpoint.REPLIED: (Order.KILL, Order.STOP),
}


def draw_point(fault: str, chance: random.Random) -> Injection:
    """The same for the same state of `chance`."""
    seconds = round(chance.uniform(*STOPPED_SECONDS), 2)
    return Injection(fault, seconds=seconds, choice=chance.randrange(1000))


async def apply_point(
    site: Site, folder: Path, injection: Injection, run_began: float
) -> FaultMark | None:
    """Arms the point and waits until it is reached; a worker that was stopped goes on after the
    injection's seconds. None when nobody came by in REACH_SECONDS_MAX."""
    point = Failpoint(injection.fault.removeprefix(PREFIX))
    orders = ORDERS.get(point, tuple(Order))
    order = orders[injection.choice % len(orders)]
    async with site.locks[injection.fault]:
        pid = await reach(site, folder, point, order)
        if pid is None:
            return None
        began_at = time.monotonic()
        if order is Order.STOP:
            await asyncio.sleep(injection.seconds)
            # It may have been killed meanwhile by another fault.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    ended_at = time.monotonic() - run_began if order is Order.STOP else None
    detail = f"{order}, process {pid}"
    return FaultMark("server", injection.fault, began_at - run_began, ended_at, detail)


async def reach(site: Site, folder: Path, point: Failpoint, order: Order) -> int | None:
    deadline = time.monotonic() + REACH_SECONDS_MAX
    while time.monotonic() < deadline:
        until = deadline
        if point is Failpoint.LOCKED:
            until = min(until, time.monotonic() + HOLD_SECONDS_MAX)
        async with held(site, point):
            arm(folder, point, order)
            if (pid := await reached(folder, point, until)) is not None:
                return pid
            if not disarm(folder, point):
                return await reached(folder, point, time.monotonic() + HOLD_SECONDS_MAX)
    return None


async def reached(folder: Path, point: Failpoint, until: float) -> int | None:
    while True:
        if (pid := reached_by(folder, point)) is not None:
            return pid
        if time.monotonic() > until:
            return None
        await asyncio.sleep(POLL_SECONDS)


@contextlib.asynccontextmanager
async def held(site: Site, point: Failpoint) -> AsyncIterator[None]:
    """All redeems wait in the locking function, if that is the point and Postgres is there."""
    async with contextlib.AsyncExitStack() as stack:
        if point is Failpoint.LOCKED:
            # Postgres may be dead or dying; then the next try finds it alive.
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError):
                async with asyncio.timeout(HOLD_SECONDS_MAX):
                    await stack.enter_async_context(holding_redeems(site.database_url))
        yield
