"""Faults of the links: each kind on the way from clients, to Postgres and to Redis."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from loadtests.faults.injection import Break, Fault, Injection
from loadtests.faults.links import Direction, Link
from loadtests.faults.site import Site, SiteLinks

LANE = "links"
# Jitter as a share of the delay.
JITTER = 0.5

Spoil: TypeAlias = Callable[[Link, Direction, float], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Kind:
    """What is done to a link, whichever it is."""

    name: str
    does: str
    heals: str
    spoil: Spoil
    seconds: tuple[float, float] | None = None
    amount: tuple[float, float] | None = None
    has_direction: bool = True


async def refuse(link: Link, _: Direction, __: float) -> None:
    """Both what is new and what is there: else a pool of connections would not notice."""
    await link.refuse()
    await link.reset()


KINDS = (
    Kind(
        "delay",
        "what is sent arrives later, by 5 to 300 ms and half of it jitter",
        "no delay",
        lambda link, direction, amount: link.delay(direction, amount, amount * JITTER),
        seconds=(0.5, 10.0),
        amount=(0.005, 0.3),
    ),
    Kind(
        "hold",
        "a partition: what is sent does not arrive yet",
        "it all arrives, late",
        lambda link, direction, _: link.hold(direction),
        seconds=(0.2, 8.0),
    ),
    Kind(
        "black_hole",
        "what is sent is lost, and no error tells",
        "connections that lost something are reset",
        lambda link, direction, _: link.black_hole(direction),
        seconds=(0.2, 8.0),
    ),
    Kind(
        "cut",
        "each connection ends after so many bytes",
        "connections last again",
        lambda link, direction, amount: link.cut_after(direction, int(amount)),
        seconds=(0.2, 4.0),
        amount=(0, 20_000),
    ),
    Kind(
        "reset",
        "present connections are reset at one end",
        "by itself: they are made anew",
        lambda link, direction, _: link.reset(direction),
        seconds=(0.05, 1.0),
    ),
    Kind(
        "refuse",
        "connections are reset, and new ones refused",
        "they are taken again",
        refuse,
        seconds=(0.2, 5.0),
        has_direction=False,
    ),
)

ENDS: dict[str, tuple[str, Callable[[SiteLinks], list[Link]]]] = {
    "clients": ("from clients to a server", lambda links: links.clients),
    "postgres": ("from a server to Postgres", lambda links: links.postgres),
    "redis": ("from a server to Redis", lambda links: links.redis),
}


def breaking(kind: Kind, links: Callable[[SiteLinks], list[Link]]) -> Break:
    """The kind of fault on one server's link of these."""

    @contextlib.asynccontextmanager
    async def spoiled(site: Site, injection: Injection) -> AsyncIterator[None]:
        link = links(site.links)[injection.server]
        direction = injection.direction or Direction.UPSTREAM
        await kind.spoil(link, direction, injection.amount)
        try:
            yield
        finally:
            await link.heal()

    return spoiled


def fault_of(kind: Kind, end: str) -> Fault:
    where, links = ENDS[end]
    return Fault(
        f"{kind.name}_{end}",
        LANE,
        f"{where}: {kind.does}",
        kind.heals,
        breaking(kind, links),
        lambda injection: f"{end} link {injection.server}",
        seconds=kind.seconds,
        amount=kind.amount,
        has_direction=kind.has_direction,
    )


LINK_FAULTS = tuple(fault_of(kind, end) for end in ENDS for kind in KINDS)
