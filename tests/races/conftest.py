"""One site for all proofs that leave it as it was; those that kill servers start their own."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.process.servers import serving
from tests.races.site import TWO_WORKERS, Site, Store, Tenant, open_store, site_environment
from tests.support.databases import DatabaseFactory
from tests.support.mortal_servers import MortalServer, mortal_valkey


@pytest.fixture(scope="session")
async def store(databases: DatabaseFactory) -> AsyncIterator[Store]:
    name = await databases.clone()
    async with open_store(databases.url(name), secrets.token_bytes(32)) as opened:
        yield opened
    await databases.drop(name)


@pytest.fixture(scope="session")
def mortal_redis() -> Iterator[MortalServer]:
    with mortal_valkey() as server:
        yield server


@pytest.fixture(scope="session")
async def site(
    tmp_path_factory: pytest.TempPathFactory, store: Store, mortal_redis: MortalServer
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    env = site_environment(store, mortal_redis)
    async with serving(folder, env, *TWO_WORKERS) as server:
        yield Site(store, mortal_redis, server)


@pytest.fixture
async def tenant(store: Store) -> Tenant:
    return await store.new_tenant()
