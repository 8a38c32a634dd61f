"""Tenants are founded whole or not at all, and what is wrong is told all at once."""

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.tenants import PostgresTenants
from guerdon.controlplane import demo
from guerdon.controlplane.found_tenant import FoundTenant, NewTenant
from guerdon.domain.errors import Defect, FieldsInvalid
from guerdon.domain.tenants import PriceSource, Rounding
from tests.support.ledger import insert_tenant, new_id

ACME = NewTenant(slug="acme", name="Acme", currency="NGN", time_zone="Africa/Lagos")


def make(database: Database) -> FoundTenant:
    return FoundTenant(PostgresTenants(database), new_id)


async def tenants(owner: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await owner.fetch("select tenant_id from guerdon.tenants order by 1")
    return [tuple(row) for row in rows]


async def test_a_tenant_is_kept_as_it_was_wanted_and_found_by_its_slug(
    database: Database, owner: asyncpg.Connection
) -> None:
    wanted = NewTenant(
        slug="9-lives",
        name="  Nine Lives ",
        currency="KWD",
        time_zone="Asia/Kuwait",
        rounding=Rounding.DOWN,
        price_source=PriceSource.CATALOGUE,
        stock_limits=True,
        default_locale="ar",
    )
    tenant_id = await make(database)(wanted)
    row = await owner.fetchrow("select * from guerdon.tenants")
    assert row is not None
    kept = ("tenant_id", "name", "currency", "time_zone", "rounding", "price_source",
            "stock_limits", "default_locale")  # fmt: skip
    assert [row[name] for name in kept] == [
        tenant_id, "Nine Lives", "KWD", "Asia/Kuwait", "down", "catalogue", True, "ar",
    ]  # fmt: skip
    assert await PostgresTenants(database).find_by_slug("9-lives") == tenant_id


async def test_of_tenants_who_want_one_slug_at_once_one_is_founded(
    database: Database, owner: asyncpg.Connection
) -> None:
    founding = (make(database)(ACME) for _ in range(6))
    outcomes = await asyncio.gather(*founding, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, FieldsInvalid)]
    assert [error.violations[0].path for error in refused] == ["slug"] * 5
    (founded,) = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert await tenants(owner) == [(founded,)]
    assert await PostgresTenants(database).find_by_slug("acme") == founded


@pytest.mark.parametrize(
    "wrong", [{"time_zone": "Nowhere/Else"}, {"currency": "ZZZ"}, {"tenant_id": "taken"}], ids=str
)
async def test_a_tenant_that_cannot_be_written_is_not_listed_either(
    database: Database, owner: asyncpg.Connection, wrong: dict[str, str]
) -> None:
    store, taken = PostgresTenants(database), await insert_tenant(owner)
    changes = {"tenant_id": taken} if "tenant_id" in wrong else {"tenant_id": new_id(), **wrong}
    with pytest.raises(Defect):
        await store.found_listed(msgspec.structs.replace(demo.TENANT, **changes), "acme")
    assert await store.find_by_slug("acme") is None
    assert await tenants(owner) == [(taken,)]


@pytest.mark.parametrize(
    ("wrong", "paths"),
    [
        ({"slug": "Acme"}, ["slug"]),
        ({"slug": "-acme"}, ["slug"]),
        ({"slug": "a" * 64}, ["slug"]),
        ({"slug": ""}, ["slug"]),
        ({"slug": "acme\n"}, ["slug"]),
        ({"name": " "}, ["name"]),
        ({"name": "Ac\u200bme"}, ["name"]),
        ({"currency": "ngn"}, ["currency"]),
        ({"currency": "ZZZ"}, ["currency"]),
        ({"default_locale": "english language"}, ["locale"]),
        ({"time_zone": "Lagos"}, ["time_zone"]),
        # Postgres would take these: as so many hours west, and as an abbreviation.
        ({"time_zone": "Lagos+1"}, ["time_zone"]),
        ({"time_zone": "WAT"}, ["time_zone"]),
        ({"time_zone": "Africa/Lagos\x00"}, ["time_zone"]),
        ({"time_zone": "\udcff"}, ["time_zone"]),
        ({"slug": "", "name": "", "currency": "", "default_locale": "", "time_zone": ""},
         ["slug", "name", "currency", "locale", "time_zone"]),
    ],
    ids=lambda value: None if isinstance(value, list) else ascii(value),
)  # fmt: skip
async def test_everything_that_is_wrong_is_told_and_nothing_written(
    shared_database: Database,
    shared_owner: asyncpg.Connection,
    wrong: dict[str, str],
    paths: list[str],
) -> None:
    with pytest.raises(FieldsInvalid) as caught:
        await make(shared_database)(msgspec.structs.replace(ACME, **wrong))
    assert [violation.path for violation in caught.value.violations] == paths
    assert await tenants(shared_owner) == []
