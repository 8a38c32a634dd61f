"""Every seeded bug is caught where its scenario says, and a sound build passes all scenarios."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtests.faults.bugs.build import Bug, BuildError, Change, build
from loadtests.faults.bugs.catalogue import BUGS
from loadtests.faults.bugs.trial import opened, try_bug
from tests.support.databases import DatabaseFactory

SCENARIOS = {bug.scenario.__name__: bug.scenario for bug in BUGS.values()}


@pytest.fixture
async def empty_database_url(databases: DatabaseFactory) -> AsyncIterator[str]:
    name = await databases.make_empty()
    yield databases.url(name)
    await databases.drop(name)


def test_every_bug_can_be_built(tmp_path: Path) -> None:
    """Each of its changes is made in exactly one place, which build proves, and compiles."""
    assert len(BUGS) >= 12
    for bug in BUGS.values():
        build(bug, tmp_path / bug.name)


@pytest.mark.parametrize("old", ["nowhere to be found", "guerdon"])
def test_what_is_not_there_once_is_not_built(tmp_path: Path, old: str) -> None:
    change = Change("src/guerdon/bootstrap.py", old, "")
    bug = Bug("none", "None.", (change,), next(iter(SCENARIOS.values())), "nothing")
    with pytest.raises(BuildError, match=r"bootstrap\.py has"):
        build(bug, tmp_path)


async def test_a_sound_build_passes_every_scenario(
    empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with opened(None, empty_database_url, redis_url, tmp_path) as house:
        for name, scenario in SCENARIOS.items():
            findings = await house.play(scenario)
            assert findings, f"{name} proves nothing"
            found = [finding for finding in findings if finding.count]
            assert not found, f"{name}: {found}"


@pytest.mark.parametrize("name", BUGS)
async def test_the_bug_is_caught(
    name: str, empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    bug = BUGS[name]
    assert bug.caught_by in await try_bug(bug, empty_database_url, redis_url, tmp_path)
