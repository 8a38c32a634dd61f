"""The gate is opened once: its servicers forget between tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.grpc.gate import Gate, open_gate


@pytest.fixture(scope="session")
async def session_gate() -> AsyncIterator[Gate]:
    async with open_gate() as gate:
        yield gate


@pytest.fixture
def gate(session_gate: Gate) -> Iterator[Gate]:
    session_gate.servicers.forget()
    yield session_gate
    session_gate.servicers.forget()
