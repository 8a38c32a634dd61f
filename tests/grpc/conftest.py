"""The gate and the house are opened once. The gate's servicers forget between tests; whoever uses
the house brings tenants of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.grpc.gate import Gate, open_gate
from tests.grpc.house import House, Tenant, open_house
from tests.support.databases import DatabaseFactory


@pytest.fixture(scope="session")
async def session_gate() -> AsyncIterator[Gate]:
    async with open_gate() as gate:
        yield gate


@pytest.fixture
def gate(session_gate: Gate) -> Iterator[Gate]:
    session_gate.servicers.forget()
    yield session_gate
    session_gate.servicers.forget()


@pytest.fixture(scope="session")
async def house(databases: DatabaseFactory, redis_server_url: str) -> AsyncIterator[House]:
    name = await databases.clone()
    async with open_house(databases.url(name), redis_server_url) as opened:
        yield opened
    await databases.drop(name)


@pytest.fixture
async def tenant(house: House) -> Tenant:
    return await house.new_tenant()


@pytest.fixture
async def stranger(house: House) -> Tenant:
    """Another tenant, to whom nothing of the first belongs."""
    return await house.new_tenant()
