"""Which fault happens when: drawn from a seed before the run, so that the seed repeats it."""

import random
from collections.abc import Mapping, Sequence

import msgspec

from loadtests.faults.faults import CATALOGUE, Injection, draw
from loadtests.faults.points import POINT_FAULTS, draw_point

# What is done by `--kills N`: so many of each for each kill of a server.
KILLS = {"kill_server": 1.0, "kill_postgres": 1 / 5, "kill_redis": 1 / 5, "flush_redis": 1 / 2}
# A process of clients is killed; the others are the site's, see faults.py.
KILL_CLIENTS = "kill_clients"


class Step(msgspec.Struct, frozen=True):
    """One fault, `at` seconds after the schedule's start."""

    at: float
    injection: Injection


class Schedule(msgspec.Struct, frozen=True):
    """A run's faults, in the order in which they begin."""

    seed: int
    seconds: float
    servers: int
    steps: tuple[Step, ...]

    def counts(self) -> dict[str, int]:
        """How often each fault is done, by name."""
        found: dict[str, int] = {}
        for step in self.steps:
            found[step.injection.fault] = found.get(step.injection.fault, 0) + 1
        return dict(sorted(found.items()))


def random_schedule(
    seed: int, seconds: float, servers: int, pause_seconds: tuple[float, float]
) -> Schedule:
    """Every fault of the catalogue and every failpoint in a shuffled order, again and again until
    the time is over."""
    chance = random.Random(seed)
    steps: list[Step] = []
    deck: list[str] = []
    at = chance.uniform(*pause_seconds)
    while at < seconds:
        if not deck:
            deck = sorted((*CATALOGUE, *POINT_FAULTS))
            chance.shuffle(deck)
        steps.append(Step(at, draw_any(deck.pop(), chance, servers)))
        at += chance.uniform(*pause_seconds)
    return Schedule(seed, seconds, servers, tuple(steps))


def counted_schedule(
    seed: int, seconds: float, servers: int, counts: Mapping[str, int]
) -> Schedule:
    """So many of each fault, shuffled, at moments spread evenly with some chance in each."""
    chance = random.Random(seed)
    names: Sequence[str] = [name for name, count in sorted(counts.items()) for _ in range(count)]
    names = chance.sample(names, len(names))
    share = seconds / max(1, len(names))
    steps = [
        Step((place + chance.random()) * share, draw(name, chance, servers))
        for place, name in enumerate(names)
    ]
    return Schedule(seed, seconds, servers, tuple(steps))


def draw_any(fault: str, chance: random.Random, servers: int) -> Injection:
    return draw_point(fault, chance) if fault in POINT_FAULTS else draw(fault, chance, servers)


def shortened(schedule: Schedule, seconds_max: float) -> Schedule:
    """The same faults, none longer than so."""

    def cut(step: Step) -> Step:
        seconds = min(step.injection.seconds, seconds_max)
        injection = msgspec.structs.replace(step.injection, seconds=seconds)
        return msgspec.structs.replace(step, injection=injection)

    return msgspec.structs.replace(schedule, steps=tuple(map(cut, schedule.steps)))


def kill_counts(kills: int) -> dict[str, int]:
    """N kills of servers, and of the others in proportion, at least one of each."""
    return {fault: max(1, round(kills * share)) for fault, share in KILLS.items()}
