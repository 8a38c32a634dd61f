"""docs/operations.md tells every setting and every metric, and its SQL founds a tenant."""

import re
from uuid import UUID

import asyncpg
from prometheus_client import CollectorRegistry
from pydantic_core import PydanticUndefined

from guerdon import limits
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.tenants import PostgresTenants
from guerdon.config import Settings
from guerdon.serving.board import Board
from guerdon.telemetry import PrometheusMetrics
from tests.docs.pages import DOCS, blocks, rows, section

PAGE = DOCS / "operations.md"
# Defaults that the table words.
WORDED = {"GUERDON_DATABASE_DIRECT_URL": "DATABASE_URL"}


def variable(name: str) -> str:
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"GUERDON_{name.upper()}"


def shown_default(name: str) -> str:
    default = Settings.model_fields[name].default
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return WORDED.get(variable(name), "none")
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_every_setting_is_told_with_its_default() -> None:
    told = {cells[0]: cells[1] for cells in rows(section(PAGE, "Settings"))}
    assert told == {variable(name): shown_default(name) for name in Settings.model_fields}


def test_every_metric_is_told_with_its_kind_and_labels() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    metrics.call_ended("Service/Method", "OK", "", 0.001)
    metrics.batch_ended("batch", 1, 0.001)
    metrics.redemptions_decided(1, 0, {})
    metrics.catalogue_loaded("offer", 1)
    registry.register(Board())
    found = {}
    for metric in registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        found[name] = (metric.type, labels)
    told = {
        cells[0]: (cells[1], set(filter(None, cells[2].split(", "))))
        for cells in rows(section(PAGE, "Metrics"))
    }
    assert told == found


def test_the_bounds_that_are_named_are_those_of_the_code() -> None:
    text = re.sub(r"\s+", " ", PAGE.read_text())
    assert f"up to {limits.DRAIN_SECONDS_MAX:.0f} seconds; give a container 25" in text
    assert limits.DRAIN_SECONDS_MAX + limits.WORKER_END_SECONDS_MAX < 25
    assert f"a proof counts for {limits.WRITE_PROOF_AGE_SECONDS_MAX:.0f} seconds" in text
    assert f"opens up to {limits.POOL_CONNECTIONS_MAX} connections, and one more" in text
    assert f"within {limits.CATALOGUE_AGE_SECONDS_MAX:.0f} seconds at the latest" in text
    assert f"times out ({limits.REDIS_TIMEOUT_SECONDS * 1000:.0f} ms)" in text
    assert f"at most {limits.BATCHES_IN_FLIGHT_MAX} batches in flight" in text


async def test_the_sql_founds_a_tenant(owner: asyncpg.Connection, database: Database) -> None:
    (script,) = blocks(PAGE, "sql")
    # Forced row level security binds this role as it binds an owner who is no superuser.
    await owner.execute(f"set role guerdon_app; {script}")
    found = await PostgresTenants(database).find_by_slug("acme")
    assert found == UUID("0190c8f2-2222-7000-8000-000000000001")
    assert f"--tenant {found}" in section(PAGE, "Tenants and keys")
