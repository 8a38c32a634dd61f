"""The catalogue of faults, as data: what each breaks, for how long, and how it heals.

A fault is drawn first (`draw`, from a random.Random alone, so that a seed gives the same faults
again) and injected later (`apply`). An Injection can be written down as JSON and injected again.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping

from loadtests.faults.injection import Fault, Injection, described, draw_injection
from loadtests.faults.link_faults import LINK_FAULTS
from loadtests.faults.node_faults import NODE_FAULTS
from loadtests.faults.report import FaultMark
from loadtests.faults.site import Site

__all__ = ["CATALOGUE", "Fault", "Injection", "apply", "draw", "injected"]

CATALOGUE: Mapping[str, Fault] = {fault.name: fault for fault in (*NODE_FAULTS, *LINK_FAULTS)}


def draw(fault: str, chance: random.Random, servers: int) -> Injection:
    """The same for the same state of `chance`. Raises KeyError for an unknown name."""
    return draw_injection(CATALOGUE[fault], chance, servers)


@contextlib.asynccontextmanager
async def injected(site: Site, injection: Injection) -> AsyncIterator[None]:
    """The fault lasts as long as the block (its `seconds` do not count); healed at its end.
    Waits while another fault has the same resource. Raises SiteError, EmbeddedServerError or
    ProxyError when something cannot be broken or does not come back."""
    fault = CATALOGUE[injection.fault]
    async with site.locks[fault.resource(injection)], fault.breaks(site, injection):
        yield


async def apply(site: Site, injection: Injection, run_began: float) -> FaultMark:
    """The fault for its `seconds`, then healed; raises as `injected` does. `run_began` is the
    monotonic clock's; the mark says when the fault really began and was healed, after its turn
    had come."""
    fault = CATALOGUE[injection.fault]
    async with site.locks[fault.resource(injection)]:
        began_at = time.monotonic()
        async with fault.breaks(site, injection):
            await asyncio.sleep(injection.seconds)
        ended_at = time.monotonic() if fault.seconds else None
    return FaultMark(
        lane=fault.lane,
        name=fault.name,
        began_at=began_at - run_began,
        ended_at=None if ended_at is None else ended_at - run_began,
        detail=described(fault, injection),
    )
