"""The demo tenant: founded once, complete, and able to redeem as the README says."""

import os
from datetime import datetime, timedelta

import asyncpg
import pytest

from guerdon.adapters.authenticator import KeyAuthenticator
from guerdon.adapters.postgres.api_keys import PostgresApiKeys
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.adapters.postgres.tenants import PostgresTenants
from guerdon.adapters.redis.changes import NoChangePublisher
from guerdon.controlplane import demo
from guerdon.controlplane.push_facts import PushFacts
from guerdon.controlplane.seed_demo import SeedDemo
from guerdon.domain.api_keys import Scope
from guerdon.domain.errors import Unauthenticated
from tests.support import control


def make_seed(database: Database, now: datetime | None = None) -> SeedDemo:
    publisher = NoChangePublisher()
    clock = control.now if now is None else lambda: now
    return SeedDemo(
        PostgresTenants(database),
        control.make_offers(database),
        PushFacts(PostgresFacts(database), publisher, clock),
        control.make_keys(database),
        clock,
    )


async def content(owner: asyncpg.Connection) -> dict[str, tuple[int, int]]:
    """Of each table its rows, and the sum of the transactions that wrote them."""
    tables = await owner.fetch(
        "select relname from pg_class "
        "where relnamespace = 'guerdon'::regnamespace and relkind = 'r' order by relname"
    )
    query = "select count(*), coalesce(sum(xmin::text::bigint), 0)::bigint from guerdon.{}"
    written = {}
    for (name,) in tables:
        row = await owner.fetchrow(query.format(name))
        assert row is not None
        written[name] = (row[0], row[1])
    return written


def rows(written: dict[str, tuple[int, int]]) -> dict[str, int]:
    return {name: count for name, (count, _) in written.items()}


async def test_a_second_run_changes_nothing_and_shows_no_key(
    database: Database, owner: asyncpg.Connection
) -> None:
    first = await make_seed(database)()
    assert first.api_key is not None
    before = await content(owner)
    later = control.now() + timedelta(days=3)
    second = await make_seed(database, later)()
    assert (second.tenant_id, second.api_key) == (first.tenant_id, None)
    assert await content(owner) == before
    counts = rows(before)
    assert (counts["offers"], counts["offer_rules"], counts["products"]) == (5, 2, 4)
    assert (counts["customers"], counts["transactions"], counts["api_keys"]) == (3, 6, 1)


async def test_the_key_opens_everything_and_a_lost_one_is_made_anew(database: Database) -> None:
    first = await make_seed(database)()
    second = await make_seed(database)(new_key=True)
    authenticator = KeyAuthenticator(
        PostgresApiKeys(database), control.PEPPER, control.Clock(), control.metrics()
    )
    for seeded in (first, second):
        caller = await authenticator.authenticate(seeded.api_key or "")
        assert caller.scopes == set(Scope)
    assert first.api_key != second.api_key
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate((first.api_key or "")[:-4] + os.urandom(2).hex())


async def test_a_run_that_was_killed_is_taken_up_by_the_next(
    database: Database, owner: asyncpg.Connection
) -> None:
    await make_seed(database)()
    whole = rows(await content(owner))
    # Undone as if the run had ended before the last offers, the directory and the key.
    await owner.execute("delete from guerdon.tenant_directory")
    await owner.execute("delete from guerdon.api_keys")
    for table in (
        "offer_counters", "offer_versions", "offer_translations", "offer_products",
        "offer_bogo_rules", "offer_rules", "offers",
    ):  # fmt: skip
        await owner.execute(f"delete from guerdon.{table} where offer_id = $1", demo.FLASH)
    again = await make_seed(database, control.now() + timedelta(minutes=3))()
    assert again.api_key is not None
    assert rows(await content(owner)) == whole


async def test_the_demo_customers_are_who_they_are_said_to_be(
    database: Database, owner: asyncpg.Connection
) -> None:
    seeded = await make_seed(database)()
    customers = [demo.ADA, demo.BOLA, demo.CHIDI]
    verdicts = await owner.fetchval(
        "select p_verdicts from guerdon.judge_customers_v1($1, $2, $3, now(), false)",
        seeded.tenant_id,
        [demo.WELCOME_BONUS] * 3,
        customers,
    )
    assert verdicts == [0, 42, 40]
