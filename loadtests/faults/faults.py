"""The catalogue of faults, as data: what each breaks, for how long, and how it heals.

A fault is drawn first (`draw`, from a random.Random alone, so that a seed gives the same faults
again) and injected later (`apply`). An Injection can be written down as JSON and injected again.
"""

import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from loadtests.faults.report import FaultMark
from loadtests.faults.site import Site


class Injection(msgspec.Struct, frozen=True):
    """A fault with everything that chance decides already decided."""

    fault: str
    """Its name in CATALOGUE."""
    server: int = 0
    """Which server or whose link; of no meaning to faults of Postgres and Redis."""
    seconds: float = 0.0
    """How long it lasts before it is healed; 0 for what is over at once."""
    choice: int = 0
    """Chance's for what is only known when it happens: which worker, which backend."""
    amount: float = 0.0
    """Delay in seconds, or bytes until the cut."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault. `lane` is one of report.LANES; `does` and `heals` say it to people."""

    name: str
    lane: str
    does: str
    heals: str


CATALOGUE: Mapping[str, Fault] = {}


def draw(fault: str, chance: random.Random, servers: int) -> Injection:
    """The same for the same state of `chance`."""
    raise NotImplementedError


@contextlib.asynccontextmanager
async def injected(site: Site, injection: Injection) -> AsyncIterator[None]:
    """The fault lasts as long as the block (its `seconds` do not count); healed at its end.
    Waits while another fault has the same resource."""
    raise NotImplementedError
    yield


async def apply(site: Site, injection: Injection, run_began: float) -> FaultMark:
    """The fault for its `seconds`, then healed. `run_began` is the monotonic clock's; the mark says
    when the fault really began and was healed, after its turn had come."""
    raise NotImplementedError
