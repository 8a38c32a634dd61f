"""Runs a situation in every interleaving and holds each outcome against the model."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from itertools import permutations

import asyncpg

from guerdon.adapters.postgres.connection import Database
from guerdon.domain.identifiers import TenantId
from tests.isolation.model import Outcome, offers_of, serial_outcome
from tests.isolation.scene import COLLIDED, Scene
from tests.isolation.schedules import Choice, Explored, Schedule, explore
from tests.isolation.sessions import Gatekeeper, OneConnection, Session, State
from tests.isolation.situations import COMMITS, Situation
from tests.isolation.stepped import Bug, build
from tests.support.ledger import insert_tenant

KEEPS_STANDING = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0"
# Answers of calls that wrote an effect on the offer.
WRITES = {"granted", "edited", "revoked"}
# Who steps, by the number of steps that were made and who is able to.
Choose = Callable[[int, frozenset[int]], int]


class Unexplained(AssertionError):
    """No serial order of the two calls gives what was seen."""


class Stage:
    """A database with the stepped functions, two sessions of the application role, and who holds
    their gates."""

    def __init__(self, owner: asyncpg.Connection, tenant_id: TenantId, keeper: Gatekeeper) -> None:
        self.owner = owner
        self.tenant_id = tenant_id
        self.keeper = keeper

    async def explore(self, situation: Situation) -> Explored:
        """Every schedule of the situation. Raises Unexplained at the first that goes wrong."""

        async def run(prefix: Schedule) -> list[Choice]:
            def choose(place: int, able: frozenset[int]) -> int:
                return prefix[place] if place < len(prefix) else min(able)

            return await self.run(situation, choose)

        return await explore(run)

    async def run(self, situation: Situation, choose: Choose) -> list[Choice]:
        """One schedule, on offers of its own. Raises Unexplained when it goes wrong."""
        names = offers_of(*situation.before, *situation.actions)
        scene = Scene(self.tenant_id, situation.terms, names)
        sessions = self.keeper.sessions
        prelude = OneConnection(sessions[0].connection)
        await scene.make_offers(prelude)
        for action in situation.before:
            await scene.act(prelude, action)
        choices = await self._interleave(situation, scene, choose)
        resent = [session.number for session in sessions if session.answer() == COLLIDED]
        answers = [session.answer() for session in sessions]
        for number in resent:
            answers[number] = await scene.act(prelude, situation.actions[number])
        for session in sessions:
            if session.ending != COMMITS and session.number not in resent:
                answers[session.number] = "rolled back"
        offers, rows = await scene.offers(self.owner), await scene.rows(self.owner)
        judge(situation, choices, resent, Outcome(tuple(answers), offers, rows))
        return choices

    async def _interleave(self, situation: Situation, scene: Scene, choose: Choose) -> list[Choice]:
        sessions = self.keeper.sessions
        for session in sessions:
            session.renew(situation.endings[session.number])
        await self.keeper.close_gates()
        choices: list[Choice] = []
        try:
            while able := frozenset(one.number for one in sessions if one.can_go_on):
                number = choose(len(choices), able)
                choices.append(Choice(able, number))
                work = partial(scene.act, action=situation.actions[number])
                await self.keeper.step(sessions[number], work)
        finally:
            await self.keeper.open_gates()
        assert all(session.state is State.ENDED for session in sessions)
        return choices


def judge(
    situation: Situation, choices: Sequence[Choice], resent: Sequence[int], seen: Outcome
) -> None:
    """Demands that a serial order explains what was seen.

    The order keeps to what came after what: a call that began after the other had ended is behind
    it, one that was sent again after a collision is last. Two that both wrote to the offer are in
    the order of their commits: nothing is committed under a version behind its successor.
    """
    steps = [choice.chosen for choice in choices]
    ends = {number: (number in resent, _last(steps, number)) for number in (0, 1)}
    counting = [number for number in (0, 1) if situation.endings[number] == COMMITS]
    counting += [number for number in resent if number not in counting]
    by_commit = tuple(sorted(counting, key=ends.__getitem__))
    both_wrote = WRITES.issuperset(seen.answers)
    explanations = []
    for order in permutations(counting):
        if order != by_commit and (both_wrote or not _overlap(steps, resent)):
            continue
        expected = serial_outcome(situation.terms, situation.before, situation.actions, order)
        if expected == seen:
            return
        explanations.append(expected)
    lines = "\n  or ".join(map(str, explanations))
    raise Unexplained(f"{situation.name}, {steps}:\n  saw {seen}\n  not {lines}")


def _overlap(steps: Sequence[int], resent: Sequence[int]) -> bool:
    """Whether each began before the other had ended."""
    return not resent and all(
        steps.index(number) < _last(steps, other) for number, other in ((0, 1), (1, 0))
    )


def _last(steps: Sequence[int], number: int) -> int:
    return len(steps) - 1 - steps[::-1].index(number)


@contextlib.asynccontextmanager
async def open_stage(
    owner: asyncpg.Connection,
    database: Database,
    gates: Mapping[str, Sequence[str]],
    bug: Bug | None = None,
) -> AsyncIterator[Stage]:
    """For a new tenant. The functions are replaced in the database, which is for stages only."""
    for function, places in gates.items():
        await owner.execute(build(function, places, bug))
    async with database.connection() as first, database.connection() as second:
        for number, connection in enumerate((first, second)):
            await connection.execute(f"{KEEPS_STANDING}; set isolation.session = '{number}'")
        sessions = [Session(0, first), Session(1, second)]
        yield Stage(owner, await insert_tenant(owner), Gatekeeper(owner, sessions))
