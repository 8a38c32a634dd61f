"""One site for all proofs that leave it as it was; those that kill servers start their own."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from loadtests.faults.redis_node import RedisNode, mortal_redis
from tests.process.servers import serving
from tests.races.site import TWO_WORKERS, Site, Store, Tenant, open_store, site_environment
from tests.support.databases import DatabaseFactory


@pytest.fixture(scope="session")
async def store(databases: DatabaseFactory) -> AsyncIterator[Store]:
    name = await databases.clone()
    async with open_store(databases.url(name), secrets.token_bytes(32)) as opened:
        yield opened
    await databases.drop(name)


@pytest.fixture(scope="session")
def redis_node() -> Iterator[RedisNode]:
    with mortal_redis() as node:
        yield node


@pytest.fixture(scope="session")
async def site(
    tmp_path_factory: pytest.TempPathFactory, store: Store, redis_node: RedisNode
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    env = site_environment(store, redis_node)
    async with serving(folder, env, *TWO_WORKERS) as server:
        yield Site(store, redis_node, server)


@pytest.fixture
async def tenant(store: Store) -> Tenant:
    return await store.new_tenant()
