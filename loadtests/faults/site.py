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
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from loadtests.faults.guerdon_node import GuerdonNode
from loadtests.faults.links import Link
from loadtests.faults.postgres_node import PostgresNode
from loadtests.faults.redis_node import RedisNode


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


@dataclass(frozen=True)
class SiteLinks:
    """By server, but for the one between the two Redis."""

    clients: list[Link]
    postgres: list[Link]
    redis: list[Link]
    replication: Link

    def all(self) -> list[Link]:
        return [*self.clients, *self.postgres, *self.redis, self.replication]


@dataclass
class Site:
    """What can be broken, and how to reach it."""

    postgres: PostgresNode
    redis: tuple[RedisNode, RedisNode]
    primary: int
    """Which of `redis` is the primary; a failover changes it."""
    servers: list[GuerdonNode]
    links: SiteLinks
    api_key: str
    """Of `tenant_id`, with every scope."""
    tenant_id: UUID
    locks: dict[str, asyncio.Lock]
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
    def admin_address(self) -> str:
        """The first server, past the proxy."""
        return f"127.0.0.1:{self.servers[0].port}"

    @property
    def logs(self) -> list[Path]:
        """The logs of all nodes, one for each start, and the proxy's."""
        raise NotImplementedError

    async def heal(self) -> None:
        """Every fault is over: links healed, frozen processes go on, dead ones are started, Redis
        takes writes, all servers use its primary. Returns when every server can write."""
        raise NotImplementedError


@contextlib.asynccontextmanager
async def open_site(logs: Path, plan: SitePlan) -> AsyncIterator[Site]:
    """Everything serves. Logs go to the folder `logs` and stay; all else goes with the block."""
    raise NotImplementedError
    yield
