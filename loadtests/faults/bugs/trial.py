"""One trial: a build, a server of it, a scenario, and what the checks found."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import asyncpg
import grpc
from pydantic import SecretStr
from redis.asyncio import Redis

from guerdon import bootstrap
from guerdon.adapters.postgres.migrate import migrate_up
from guerdon.api.admin.v1.offer_admin_service_pb2_grpc import OfferAdminServiceStub
from guerdon.config import Environment, Settings
from guerdon.controlplane.found_tenant import NewTenant
from guerdon.domain.api_keys import Scope
from guerdon.domain.identifiers import TenantId
from guerdon.embedded import EmbeddedServerError
from loadtests.admin import CURRENCY
from loadtests.audit import Finding
from loadtests.faults.bugs.build import MIGRATIONS, Bug, build
from loadtests.faults.bugs.stage import Build, Stage
from loadtests.faults.calls import OPTIONS, Caller
from loadtests.faults.failpoints import FAILPOINTS_VARIABLE
from loadtests.faults.guerdon_node import mortal_guerdon
from loadtests.faults.intents import IntentLog

# Enough for every scenario.
WORKERS = 2
# What is found when a server of the build does not serve at all.
REFUSES_TO_SERVE = "server_serves"
# Calls spread over connections, which the system spreads over the workers: with so many times those
# of a client of the lab each worker has some.
CONNECTIONS_TIMES = 4

Scenario = Callable[[Stage], Awaitable[None]]


async def try_bug(bug: Bug, database_url: str, redis_url: str, folder: Path) -> set[str]:
    """The checks that found something when the bug's scenario played on a build with it. The
    database must be empty, and so must the folder."""
    try:
        async with opened(bug, database_url, redis_url, folder, bug.workers) as house:
            return {finding.check for finding in await house.play(bug.scenario) if finding.count}
    except EmbeddedServerError:
        # Its start already looks at some things; see server_checks.py.
        return {REFUSES_TO_SERVE}


class House:
    """A server of one build, on which scenarios play one after the other."""

    def __init__(self, build: Build, address: str, settings: Settings, folder: Path) -> None:
        self._build = build
        self._address = address
        self._settings = settings
        self._folder = folder

    async def play(self, scenario: Scenario) -> tuple[Finding, ...]:
        """All verdicts, of a tenant of its own."""
        async with self._stage() as stage:
            # A worker that died in the scenario before may be on its way still.
            await stage.until_writable()
            await scenario(stage)
            return await stage.judge()

    @contextlib.asynccontextmanager
    async def _stage(self) -> AsyncIterator[Stage]:
        tenant_id, key = await make_tenant(self._settings)
        log = self._folder / f"history-{tenant_id}"
        async with contextlib.AsyncExitStack() as stack:
            records = stack.enter_context(IntentLog(log))
            addresses = [self._address] * CONNECTIONS_TIMES
            caller = Caller(records, addresses, {tenant_id: key})
            stack.push_async_callback(caller.close)
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(self._address, options=OPTIONS)
            )
            owner = await asyncpg.connect(self._build.database_url)
            stack.push_async_callback(owner.close)
            redis = await stack.enter_async_context(
                Redis.from_url(self._build.redis_url, decode_responses=True)
            )
            yield Stage(
                self._build, tenant_id, owner, redis, caller, log, OfferAdminServiceStub(channel),
                (("authorization", f"Bearer {key}"),),
            )  # fmt: skip


@contextlib.asynccontextmanager
async def opened(
    bug: Bug | None, database_url: str, redis_url: str, folder: Path, workers: int = WORKERS
) -> AsyncIterator[House]:
    """A server of the build, without a bug when there is none; the database must be empty."""
    source = await asyncio.to_thread(build, bug, folder)
    migrations, failpoints = folder / MIGRATIONS, folder / "failpoints"
    failpoints.mkdir()
    await migrate_up(database_url, migrations)
    pepper = secrets.token_hex(32)
    variables = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "GUERDON_API_KEY_PEPPER": pepper,
        "GUERDON_ENVIRONMENT": "development",
        "GUERDON_LOG_FORMAT": "json",
        FAILPOINTS_VARIABLE: str(failpoints),
    }
    settings = Settings(
        environment=Environment.DEVELOPMENT,
        database_url=SecretStr(database_url),
        api_key_pepper=SecretStr(pepper),
    )
    starting = mortal_guerdon("server", folder, variables, workers, source)
    node = await asyncio.to_thread(starting.__enter__)
    try:
        where = Build(database_url, redis_url, migrations, failpoints, lambda: node.all_writable)
        yield House(where, f"127.0.0.1:{node.port}", settings, folder)
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)


async def make_tenant(settings: Settings) -> tuple[UUID, str]:
    """The id of a new tenant, and a key of it with every scope."""
    slug = f"lab-{secrets.token_hex(8)}"
    wanted = NewTenant(slug=slug, name="Lab", currency=CURRENCY, time_zone="Etc/UTC")
    tenant_id = await bootstrap.found_tenant(settings, wanted)
    async with bootstrap.control_plane(settings) as plane:
        made = await plane.keys.create(TenantId(tenant_id), "lab", list(Scope))
    return tenant_id, made.secret
