"""Every interleaving of two sessions, found by running them.

A schedule is a sequence of session numbers: who makes the next step. Which sessions can is known
only when they run, so a run follows a prefix and then goes on with the first that can; each other
choice it passed is the prefix of a further run. A session that waits for the other cannot step:
merges of the two lists of steps that differ only in when it is asked to are one schedule.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

Schedule = tuple[int, ...]
# More than two calls of seven steps each have merges: an end for a search that has none.
SCHEDULES_MAX = 5_000


@dataclass(frozen=True)
class Choice:
    """At one point of a run: who could have made the next step, and who did."""

    able: frozenset[int]
    chosen: int


Run = Callable[[Schedule], Awaitable[list[Choice]]]


@dataclass
class Explored:
    """All schedules that exist, as a tree: prefix -> who could step then."""

    tree: dict[Schedule, frozenset[int]] = field(default_factory=dict)
    schedules: list[Schedule] = field(default_factory=list)

    def add(self, choices: list[Choice]) -> None:
        schedule = tuple(choice.chosen for choice in choices)
        for number, choice in enumerate(choices):
            known = self.tree.setdefault(schedule[:number], choice.able)
            assert known == choice.able, f"{schedule[:number]} went another way the second time"
        self.schedules.append(schedule)

    @property
    def steps(self) -> tuple[int, int]:
        """The most steps that each session made in any schedule."""
        first, second = (
            max(schedule.count(session) for schedule in self.schedules) for session in (0, 1)
        )
        return first, second

    def schedule_of(self, merge: Schedule) -> Schedule:
        """What became of a merge: asking a session that waits changes nothing, and whoever is left
        at the end goes on."""
        done: Schedule = ()
        for session in merge:
            if session in self.tree.get(done, frozenset()):
                done += (session,)
        while done in self.tree:
            done += (min(self.tree[done]),)
        return done


async def explore(run: Run) -> Explored:
    """Run every schedule once."""
    explored = Explored()
    open_prefixes: list[Schedule] = [()]
    while open_prefixes:
        prefix = open_prefixes.pop()
        choices = await run(prefix)
        explored.add(choices)
        schedule = tuple(choice.chosen for choice in choices)
        for number in range(len(prefix), len(choices)):
            others = choices[number].able - {choices[number].chosen}
            open_prefixes += [(*schedule[:number], other) for other in others]
        assert len(explored.schedules) <= SCHEDULES_MAX, "more schedules than steps can make"
    return explored


def merges(first: int, second: int) -> Iterator[Schedule]:
    """Every order of so many steps of session 0 and so many of session 1."""
    for places in combinations(range(first + second), first):
        yield tuple(0 if place in places else 1 for place in range(first + second))
