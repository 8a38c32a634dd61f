"""What a fault is, apart from the faults themselves: see node_faults.py and link_faults.py."""

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from loadtests.faults.links import Direction
from loadtests.faults.site import Site

# `choice` is drawn below this, more than there is to choose from.
CHOICES = 1 << 16


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
    direction: Direction | None = None
    """Of a link; None for what has none."""
    amount: float = 0.0
    """Delay in seconds, or bytes until the cut."""


# The fault lasts as long as the block.
Break: TypeAlias = Callable[[Site, Injection], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """One kind of fault. `lane` is one of report.LANES; `does` and `heals` say it to people.

    `seconds` are the least and the most it lasts, None for what is over at once; `amount` likewise
    for what has one. `resource` names what it breaks: faults of one resource take turns.
    """

    name: str
    lane: str
    does: str
    heals: str
    breaks: Break
    resource: Callable[[Injection], str]
    seconds: tuple[float, float] | None = None
    amount: tuple[float, float] | None = None
    has_direction: bool = False


def draw_injection(fault: Fault, chance: random.Random, servers: int) -> Injection:
    """The same for the same state of `chance`; it takes as many draws for every fault."""
    server, choice = chance.randrange(servers), chance.randrange(CHOICES)
    seconds = chance.uniform(*(fault.seconds or (0.0, 0.0)))
    amount = chance.uniform(*(fault.amount or (0.0, 0.0)))
    direction = chance.choice(list(Direction))
    return Injection(
        fault=fault.name,
        server=server,
        seconds=round(seconds, 3),
        choice=choice,
        direction=direction if fault.has_direction else None,
        amount=round(amount, 3),
    )


def described(fault: Fault, injection: Injection) -> str:
    """For the report: what the name does not say."""
    words = [fault.resource(injection)]
    if injection.direction is not None:
        words.append(injection.direction.value)
    if injection.amount:
        words.append(f"{injection.amount:g}")
    return ", ".join(words)
