"""A site of the lab's own: Postgres, two Redis, Guerdon servers, and breakable links between them.

    clients --> server i            `links.clients[i]`: where clients connect
    server i --> Postgres           `links.postgres[i]`
    server i --> the Redis it uses  `links.redis[i]`: its upstream changes at a failover
    Redis replica --> its primary   `links.replication`

`async with open_site(folder, plan) as site` starts all of it, migrates, founds a tenant and makes
an API key. Nothing of DATABASE_URL, REDIS_URL or GUERDON_* of this process reaches the servers.
"""

import asyncio
import contextlib
import secrets
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from loadtests.admin import CURRENCY
from loadtests.faults.guerdon_node import GuerdonNode, guerdon_environment, mortal_guerdon
from loadtests.faults.links import Link, Proxy, open_proxy
from loadtests.faults.node import Node
from loadtests.faults.postgres_node import PostgresNode, mortal_postgres
from loadtests.faults.redis_node import RedisNode, has_all_of, mortal_redis

# Seconds in which every server must be able to write again once all faults are over.
RECOVERY_SECONDS_MAX = 60.0
# Seconds in which a replica must have all that its primary has, when nothing is in their way.
REPLICATION_SECONDS_MAX = 20.0
# Seconds between two looks at something that another process does.
LOOK_SECONDS = 0.05
# Seconds for one command of Guerdon's command line.
COMMAND_SECONDS_MAX = 60.0

T = TypeVar("T")


class SiteError(Exception):
    """Something of the site did not come up or come back; the text says what and where to look."""


@dataclass(frozen=True)
class ServerPlan:
    """One Guerdon server, that is a supervisor with its workers on a port of its own.

    `source` is a folder that goes before the installed guerdon on the module path: a test build is
    a changed copy of src/, with migrations/ beside it if it changes SQL. `variables` are added to
    its environment, as GUERDON_FAILPOINTS.
    """

    workers: int = 2
    source: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SitePlan:
    """What to start. The database is migrated by the first server's build."""

    servers: tuple[ServerPlan, ...] = (ServerPlan(), ServerPlan())
    tenants: int = 1


@dataclass(frozen=True)
class SiteLinks:
    """By server, but for the one between the two Redis."""

    clients: list[Link]
    postgres: list[Link]
    redis: list[Link]
    replication: Link

    def all(self) -> list[Link]:
        """In no particular order."""
        return [*self.clients, *self.postgres, *self.redis, self.replication]


@dataclass
class Site:
    """What can be broken, and how to reach it."""

    postgres: PostgresNode
    redis: tuple[RedisNode, RedisNode]
    servers: list[GuerdonNode]
    links: SiteLinks
    proxy: Proxy
    api_key: str
    """Of `tenant_id`, with every scope. The tenant's currency is admin.CURRENCY."""
    tenant_id: UUID
    api_keys: dict[UUID, str]
    """Of all tenants, that one first."""
    primary: int = 0
    """Which of `redis` is the primary; a failover changes it."""
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """By resource: two faults of one thing take turns."""

    @property
    def addresses(self) -> list[str]:
        """Where clients connect: host:port of each server, through its link."""
        return [f"127.0.0.1:{link.port}" for link in self.links.clients]

    @property
    def database_url(self) -> str:
        """The superuser's, past the proxy, for the checker."""
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        """The primary's, past the proxy, for the checker."""
        return self.redis[self.primary].url

    @property
    def admin_address(self) -> str:
        """The first server, past the proxy."""
        return f"127.0.0.1:{self.servers[0].port}"

    @property
    def nodes(self) -> list[Node]:
        """In the order in which they need each other."""
        return [self.postgres, *self.redis, *self.servers]

    @property
    def logs(self) -> list[Path]:
        """The logs of all nodes, one for each start, and the proxy's."""
        return [log for node in self.nodes for log in node.logs] + [self.proxy.log]

    async def heal(self) -> None:
        """Every fault is over: links healed, frozen processes go on, dead ones are started, Redis
        takes writes, all servers use its primary. Returns when every server can write; raises
        SiteError when one cannot in RECOVERY_SECONDS_MAX. Not while faults are injected."""
        await asyncio.gather(*(link.heal() for link in self.links.all()))
        await asyncio.to_thread(self._revive)
        await self.postgres.set_read_only(False)
        await self.join_redis(self.primary)
        await self.until_serving()

    def _revive(self) -> None:
        for node in self.nodes:
            node.thaw()
            if not node.is_running:
                # A server is waited for when all else is as it should be.
                node.launch()
        for node in (self.postgres, *self.redis):
            node.wait_until_ready()

    async def join_redis(self, primary: int) -> None:
        """This one is the primary that all servers use, and the other its replica; returns when
        the replica has what the primary has."""
        self.primary = primary
        new, other = self.redis[primary], self.redis[1 - primary]
        await asyncio.to_thread(new.reset_settings)
        await asyncio.to_thread(other.reset_settings)
        for link in (*self.links.redis, self.links.replication):
            await link.switch(new.port)
        await asyncio.to_thread(other.follow, self.links.replication.port)
        await until(lambda: has_all_of(other, new), REPLICATION_SECONDS_MAX, "Redis' replica")

    async def until_serving(self) -> None:
        """Every worker of every server has just proved that it can write."""
        for number, server in enumerate(self.servers):
            name = f"server {number} (its log: {server.logs[-1]})"
            await until(partial(can_write, server), RECOVERY_SECONDS_MAX, name)


def can_write(server: GuerdonNode) -> bool:
    """Every worker of it."""
    return server.all_writable


async def until(holds: Callable[[], bool], seconds_max: float, what: str) -> None:
    """Looks again and again, from a thread. Raises SiteError."""
    try:
        async with asyncio.timeout(seconds_max):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110  # Other processes do it.
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise SiteError(f"{what} is not ready after {seconds_max:.0f} s") from None


@contextlib.asynccontextmanager
async def open_site(logs: Path, plan: SitePlan) -> AsyncIterator[Site]:
    """Everything serves. Logs go to the folder `logs` and stay; all else goes with the block."""
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(open_proxy(logs / "proxy.log"))
        nodes = contextlib.ExitStack()
        stack.push_async_callback(asyncio.to_thread, nodes.close)
        password = secrets.token_hex(16)
        postgres, first, second = await asyncio.gather(
            entered(nodes, mortal_postgres(logs)),
            entered(nodes, mortal_redis(logs, "redis-a", password)),
            entered(nodes, mortal_redis(logs, "redis-b", password)),
        )
        common = {
            "GUERDON_API_KEY_PEPPER": secrets.token_hex(32),
            "GUERDON_ENVIRONMENT": "development",
            "GUERDON_LOG_FORMAT": "json",
        }
        api_keys = await make_tenants(common | {"DATABASE_URL": postgres.url}, plan)
        tenant_id, api_key = next(iter(api_keys.items()))
        links_behind = [
            (
                await proxy.add_link(f"server-{number}-postgres", postgres.port),
                await proxy.add_link(f"server-{number}-redis", first.port),
            )
            for number in range(len(plan.servers))
        ]
        starting = []
        for number, server in enumerate(plan.servers):
            to_postgres, to_redis = links_behind[number]
            addresses = {
                "DATABASE_URL": postgres.url_at(to_postgres.port),
                "REDIS_URL": first.url_at(to_redis.port),
            }
            variables = {**common, **addresses, **server.variables}
            name = f"server-{number}"
            node = mortal_guerdon(name, logs, variables, server.workers, server.source)
            starting.append(entered(nodes, node))
        servers = list(await asyncio.gather(*starting))
        links = SiteLinks(
            clients=[
                await proxy.add_link(f"clients-server-{number}", server.port)
                for number, server in enumerate(servers)
            ],
            postgres=[to_postgres for to_postgres, _ in links_behind],
            redis=[to_redis for _, to_redis in links_behind],
            replication=await proxy.add_link("redis-replication", first.port),
        )
        site = Site(postgres, (first, second), servers, links, proxy, api_key, tenant_id, api_keys)
        await site.join_redis(0)
        yield site


async def entered(stack: contextlib.ExitStack, node: "contextlib.AbstractContextManager[T]") -> T:
    """In a thread, as starting a node blocks."""
    return await asyncio.to_thread(stack.enter_context, node)


async def make_tenants(variables: Mapping[str, str], plan: SitePlan) -> dict[UUID, str]:
    """Migrates; a key of each new tenant. All by the first server's command line."""
    first = plan.servers[0]
    environment = guerdon_environment({**variables, **first.variables}, first.source)
    await guerdon(environment, "migrate")
    found = {}
    for number in range(plan.tenants):
        named = ["--slug", f"lab-{number}", "--name", f"Lab {number}"]
        counted = ["--currency", CURRENCY, "--time-zone", "Etc/UTC"]
        tenant_id = UUID(await guerdon(environment, "tenants", "create", *named, *counted))
        found[tenant_id] = await guerdon(environment, "keys", "create", "--tenant", str(tenant_id))
    return found


async def guerdon(environment: Mapping[str, str], *arguments: str) -> str:
    """What the command prints, without the line's end. Raises SiteError with what it complains."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "guerdon",
        *arguments,
        env=environment,
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(COMMAND_SECONDS_MAX):
        printed, complaint = await process.communicate()
    if process.returncode:
        raise SiteError(f"guerdon {' '.join(arguments)} failed:\n{complaint.decode()}")
    return printed.decode().strip()
