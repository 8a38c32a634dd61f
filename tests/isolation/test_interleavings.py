"""Every interleaving of the steps of two calls at one offer is as if one came after the other."""

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from tests.isolation.schedules import merges
from tests.isolation.situations import FAMILIES, Situation
from tests.isolation.stage import open_stage
from tests.isolation.stepped import FEWER_GATES, GATES
from tests.support.proofs import FULL, tell


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(situation, id=f"{family}: {situation.name}")
        for family, situations in FAMILIES.items()
        for situation in situations
    ],
)
async def test_every_interleaving_is_as_good_as_a_serial_order(
    stage_owner: asyncpg.Connection, stage_database: Database, situation: Situation
) -> None:
    gates = FEWER_GATES if situation.hardly_waits and not FULL else GATES
    async with open_stage(stage_owner, stage_database, gates) as stage:
        explored = await stage.explore(situation)
    all_schedules = set(explored.schedules)
    count = 0
    for merge in merges(*explored.steps):
        assert explored.schedule_of(merge) in all_schedules
        count += 1
    tell(situation=situation.name, merges=count, schedules=len(all_schedules))
