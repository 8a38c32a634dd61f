"""docs/operations.md tells every setting and every metric, and its commands found a tenant."""

import asyncio
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import asyncpg
from prometheus_client import CollectorRegistry
from pydantic_core import PydanticUndefined

from guerdon import limits
from guerdon.cli.tenants import create as create_tenant
from guerdon.config import Settings
from guerdon.domain.api_keys import parse_key
from guerdon.serving.board import Board
from guerdon.telemetry import PrometheusMetrics
from tests.docs.pages import DOCS, blocks_in, rows, section
from tests.process.servers import environment

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


async def test_the_commands_found_a_tenant_and_make_its_key(
    owner: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    found, key = blocks_in(section(PAGE, "Tenants and keys"), "sh")
    env = environment(database_url, GUERDON_HOME=str(tmp_path))
    tenant_id = (await run_guerdon(found, env)).strip()
    row = await owner.fetchrow("select * from guerdon.tenants")
    assert row is not None
    assert (str(row["tenant_id"]), row["name"], row["currency"]) == (tenant_id, "Acme", "NGN")
    (shown,) = re.findall(r"--tenant (\S+)", key)
    made = parse_key((await run_guerdon(key.replace(shown, tenant_id), env)).strip())
    assert made is not None
    assert str(made.tenant_id) == tenant_id


def test_every_option_of_a_tenant_is_told() -> None:
    text = section(PAGE, "Tenants and keys")
    options = {
        f"--{name.replace('_', '-')}" for name in inspect.signature(create_tenant).parameters
    }
    told = {cells[0] for cells in rows(text)}
    assert told == options - {"--slug", "--name", "--currency", "--time-zone"}
    assert all(option in text for option in options)


async def run_guerdon(script: str, env: dict[str, str]) -> str:
    """What `guerdon ...` prints on standard output; it must end well."""
    words = shlex.split(script)
    assert words[0] == "guerdon"
    command = [sys.executable, "-m", *words]
    done = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
