"""How long a run is and what it breaks."""

import random

import msgspec

from loadtests.faults.faults import Injection
from loadtests.faults.schedule import (
    KILL_CLIENTS,
    Schedule,
    Step,
    counted_schedule,
    kill_counts,
    random_schedule,
    shortened,
)

SERVERS, TENANTS = 2, 2
# What all clients together ask for.
ATTEMPTS_PER_SECOND = 120.0
# Seconds between two kills of a client process.
CLIENT_KILL_SECONDS = 25.0
# Seconds of a run of counted kills, for each fault: with two servers, one is always there.
SECONDS_A_KILL = 2.0


class Tier(msgspec.Struct, frozen=True):
    """`seconds` under faults: starting, settling and judging come on top."""

    name: str
    seconds: float
    attempts_per_second: float = ATTEMPTS_PER_SECOND
    pause_seconds: tuple[float, float] = (1.0, 7.0)
    """Between two faults of a random schedule."""
    fault_seconds_max: float = 10.0
    """A fault lasts no longer, whatever is drawn."""


# All faults once: 46 of them, 1.7 s apart, and over soon enough that something works in between.
QUICK = Tier("quick", 95.0, pause_seconds=(0.9, 2.5), fault_seconds_max=2.5)
# A million attempts would take the judgement a minute; an hour at this pace makes less than half.
NIGHTLY = Tier("nightly", 3600.0)


def schedule_of(tier: Tier, seed: int) -> Schedule:
    """Every fault of the catalogue, again and again."""
    drawn = random_schedule(seed, tier.seconds, SERVERS, tier.pause_seconds)
    drawn = shortened(drawn, tier.fault_seconds_max)
    return with_client_kills(drawn)


def kills_tier(kills: int) -> Tier:
    seconds = SECONDS_A_KILL * sum(kill_counts(kills).values())
    # Dead for a moment only: the point is that it died, and there are many to come.
    return Tier(f"kills {kills}", seconds, fault_seconds_max=1.0)


def kills_schedule(tier: Tier, kills: int, seed: int) -> Schedule:
    """N kills of servers and what goes with them, spread over the run."""
    drawn = counted_schedule(seed, tier.seconds, SERVERS, kill_counts(kills))
    drawn = shortened(drawn, tier.fault_seconds_max)
    return with_client_kills(drawn)


def with_client_kills(schedule: Schedule) -> Schedule:
    """The same, and now and then a process of clients dies."""
    chance = random.Random(f"{schedule.seed} clients")
    count = max(1, int(schedule.seconds / CLIENT_KILL_SECONDS))
    share = schedule.seconds / count
    kills = [
        Step((place + chance.random()) * share, Injection(KILL_CLIENTS, choice=chance.randrange(9)))
        for place in range(count)
    ]
    steps = sorted((*schedule.steps, *kills), key=lambda step: step.at)
    return msgspec.structs.replace(schedule, steps=tuple(steps))
