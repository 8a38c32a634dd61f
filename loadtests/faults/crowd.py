"""A crowd of callers who come back until they know, and what they saw.

The load generator of the benchmark makes their calls: a call costs it so little that thousands of
callers of one process wait for the server and not for each other.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec
from rich.console import Console

from loadtests.bench.fleet import Fleet, fleet_of
from loadtests.bench.orders import PatientLoop, Target
from loadtests.history import INDEFINITE, OK, Answer, Attempt

# Seconds in which the callers of a round arrive, one after the other.
ARRIVAL_SECONDS = 1.0
# Connections over all workers of the server.
CONNECTIONS = 32
# What a server says that sheds, or whose database is away; nothing was done then.
SHED = ("OVERLOADED", "DEPENDENCY_UNAVAILABLE")


class Crowd:
    """Callers of one target. One order at a time; begin() must be followed by wait()."""

    def __init__(self, fleet: Fleet, target: str) -> None:
        self._fleet = fleet
        self._target = target
        self.unguided = 0
        """Answers that sent a caller away without saying for how long."""

    def begin(self, callers: int, until: float) -> None:
        """So many callers until a moment of the monotonic clock."""
        self._fleet.begin_patience(PatientLoop(self._target, callers, until, ARRIVAL_SECONDS))

    def wait(self) -> int:
        """For the end of what was begun; how many requests are open."""
        result = self._fleet.end_patience()
        self.unguided = result.unguided
        return result.open_requests

    def run(self, callers: int, seconds: float) -> tuple[float, float]:
        """So many callers from now on for so long; when they began and ended."""
        began = time.monotonic()
        self.begin(callers, began + seconds)
        self.wait()
        return began, began + seconds

    def settle(self, callers: int, seconds_max: float) -> int:
        """Send what is open until it is known; how many are not, after so long."""
        until = time.monotonic() + seconds_max
        order = PatientLoop(self._target, callers, until, settles_only=True)
        self._fleet.begin_patience(order)
        return self.wait()

    def attempts(self) -> list[Attempt]:
        """Every request so far, each with all of its answers."""
        found: dict[UUID, Attempt] = {}
        for attempt in self._fleet.attempts(self._target):
            known = found.setdefault(attempt.request_id, attempt)
            if known is not attempt:
                known.answers.extend(attempt.answers)
        return list(found.values())


@contextlib.contextmanager
def crowd_of(target: Target, console: Console) -> Iterator[Crowd]:
    """A crowd that is connected. Raises NoGoError when the generator cannot be built."""
    with fleet_of({}, console) as fleet:
        fleet.connect(target, CONNECTIONS)
        yield Crowd(fleet, target.name)


class Seen(msgspec.Struct, frozen=True):
    """What callers saw within a time: definite answers a second, and how long answers took."""

    goodput_per_second: float
    granted: int
    refused: int
    shed: int
    indefinite: dict[str, int]
    """Answers that left the outcome open, by reason; '' came without one."""
    answered_milliseconds: tuple[float, float, float]
    """Of a definite answer: median, 99 of 100, and the longest."""
    shed_milliseconds: tuple[float, float, float]
    """The same of an answer that sheds."""


def see(attempts: Sequence[Attempt], begin: float, end: float) -> Seen:
    """Of the answers that came between the two moments."""
    answers = [
        answer
        for attempt in attempts
        for answer in attempt.answers
        if begin <= answer.answered_at < end
    ]
    definite = [answer for answer in answers if answer.code not in INDEFINITE]
    indefinite = [answer for answer in answers if answer.code in INDEFINITE]
    shed = [answer for answer in indefinite if answer.reason in SHED]
    granted = sum(answer.code == OK for answer in definite)
    return Seen(
        goodput_per_second=len(definite) / (end - begin),
        granted=granted,
        refused=len(definite) - granted,
        shed=len(shed),
        indefinite=dict(Counter(answer.reason for answer in indefinite)),
        answered_milliseconds=spread(definite),
        shed_milliseconds=spread(shed),
    )


def spread(answers: Sequence[Answer]) -> tuple[float, float, float]:
    """Median, 99 of 100 and the longest, in milliseconds; zeros of none."""
    took = sorted(1000 * (answer.answered_at - answer.sent_at) for answer in answers)
    if not took:
        return (0.0, 0.0, 0.0)
    return (took[len(took) // 2], took[len(took) * 99 // 100], took[-1])
