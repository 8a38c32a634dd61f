"""`guerdon tenants create` beside a database, without a server: what a person sees."""

import asyncio
import subprocess
import sys
from pathlib import Path

import asyncpg

from guerdon.serving.messages import ExitCode
from tests.process.servers import environment
from tests.support.databases import DatabaseFactory

Result = subprocess.CompletedProcess[str]
EXIT_USAGE = 2


async def create(database_url: str, home: Path, **changed: str) -> Result:
    options = {"slug": "acme", "name": "Acme", "currency": "NGN", "time-zone": "Africa/Lagos"}
    pairs = [f"--{name}={value}" for name, value in (options | changed).items()]
    # Without a pepper, which founding a tenant does not need.
    env = environment(database_url, GUERDON_HOME=str(home), GUERDON_API_KEY_PEPPER="")
    command = [sys.executable, "-m", "guerdon", "tenants", "create", *pairs]
    return await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True)


async def test_the_id_is_printed_and_what_to_do_next(
    database_url: str, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    made = await create(database_url, tmp_path, rounding="half_even")
    assert made.returncode == 0, made.stderr
    tenant_id = made.stdout.strip()
    row = await owner.fetchrow("select tenant_id, rounding from guerdon.tenants")
    assert row is not None
    assert (str(row["tenant_id"]), row["rounding"]) == (tenant_id, "half_even")
    assert f"guerdon keys create --tenant {tenant_id} " in made.stderr
    again = await create(database_url, tmp_path)
    assert (again.returncode, again.stdout) == (EXIT_USAGE, "")
    assert again.stderr == "--slug: acme is taken\n"


async def test_every_wrong_option_is_named(database_url: str, tmp_path: Path) -> None:
    wrong = await create(database_url, tmp_path, currency="ZZZ", **{"time-zone": "Mars/Olympus"})
    assert (wrong.returncode, wrong.stdout) == (EXIT_USAGE, "")
    assert wrong.stderr.splitlines() == [
        "--currency: ZZZ is no ISO 4217 code such as NGN",
        "--time-zone: Mars/Olympus is no IANA time zone such as Africa/Lagos",
    ]


async def test_a_database_without_the_schema_is_told_in_a_sentence(
    databases: DatabaseFactory, tmp_path: Path
) -> None:
    name = await databases.make_empty()
    refused = await create(databases.url(name), tmp_path)
    await databases.drop(name)
    assert (refused.returncode, refused.stdout) == (ExitCode.UNAVAILABLE, "")
    assert "tenant_directory" in refused.stderr
    assert "Traceback" not in refused.stderr
