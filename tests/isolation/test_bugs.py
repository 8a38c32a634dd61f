"""In each family a function that is wrong only when calls interleave is found out."""

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from tests.isolation.situations import FAMILIES, Situation
from tests.isolation.stage import Unexplained, open_stage
from tests.isolation.stepped import GATES, Bug, move
from tests.support.functions import replace_once

LOCK = "  perform from unnest(array(select w.offer_id"
LOCK_END = ") as c;\n"
DECISIONS = "  for i in 1 .. v_items loop"


def redeem_without_lock(text: str) -> str:
    return replace_once(text, "    for no key update\n  ) as c;", "  ) as c;")


def redeem_reading_before_the_lock(text: str) -> str:
    return move(text, LOCK, LOCK_END, DECISIONS)


def redeem_counting_what_it_did_not_write(text: str) -> str:
    return replace_once(text, "if v_written <> v_granted then", "if false then")


def redeem_reading_before_the_lock_and_miscounting(text: str) -> str:
    return redeem_counting_what_it_did_not_write(redeem_reading_before_the_lock(text))


def write_without_lock(text: str) -> str:
    return replace_once(text, "    for no key update;", "    ;")


def revoke_without_lock(text: str) -> str:
    return replace_once(text, "  for no key update;", "  ;")


BUGS = {
    "redeem x redeem": ("the last use", Bug("redeem_v1", redeem_without_lock)),
    "redeem x lower the limit": ("to what is used", Bug("write_offer_v1", write_without_lock)),
    "redeem x pause": ("active", Bug("redeem_v1", redeem_reading_before_the_lock)),
    "redeem x revoke": ("of its request", Bug("redeem_v1", redeem_counting_what_it_did_not_write)),
    "twin x twin": (
        "equal",
        Bug("redeem_v1", redeem_reading_before_the_lock_and_miscounting),
    ),
    "revoke x revoke": ("of one redemption", Bug("revoke_v1", revoke_without_lock)),
}


def test_every_family_has_a_bug() -> None:
    assert BUGS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_bug_that_only_interleaving_shows_is_found(
    stage_owner: asyncpg.Connection, stage_database: Database, family: str
) -> None:
    name, bug = BUGS[family]
    situation = named(family, name)
    async with open_stage(stage_owner, stage_database, GATES, bug) as stage:
        # One call after the other is as good as ever: what is found takes an interleaving.
        await stage.run(situation, lambda place, able: min(able))
        await stage.run(situation, lambda place, able: max(able))
        with pytest.raises(Unexplained):
            await stage.explore(situation)


def named(family: str, name: str) -> Situation:
    return next(situation for situation in FAMILIES[family] if situation.name == name)
