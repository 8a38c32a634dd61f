"""One site for all proofs that leave it as it was; those that kill servers start their own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.races.site import Site, Store, Tenant, open_store, serving_site
from tests.support.databases import DatabaseFactory
from tests.support.mortal_servers import MortalServer, mortal_valkey


@pytest.fixture(scope="session")
async def store(databases: DatabaseFactory) -> AsyncIterator[Store]:
    name = await databases.clone()
    async with open_store(databases.url(name)) as opened:
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
    async with serving_site(folder, store, mortal_redis) as opened:
        yield opened


@pytest.fixture
async def tenant(store: Store) -> Tenant:
    return await store.new_tenant()
