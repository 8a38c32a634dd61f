"""`guerdon call` against a running server: what a person sees, and what a script reads."""

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import uuid_utils.compat as uuids

from guerdon.domain.api_keys import Scope, hash_secret, make_key
from guerdon.domain.identifiers import TenantId
from tests.process.servers import Server, environment, serving
from tests.support.databases import DatabaseFactory
from tests.support.ledger import insert_offer, insert_tenant

Result = subprocess.CompletedProcess[str]


class Caller:
    """Runs `guerdon call` with the server's address and a key."""

    def __init__(self, server: Server, key: str, home: Path) -> None:
        self.server = server
        self.key = key
        self.env = environment("", GUERDON_HOME=str(home))

    async def __call__(self, *arguments: str, key: str | None = None, stdin: str = "") -> Result:
        command = [sys.executable, "-m", "guerdon", "call", *arguments]
        command += ["--address", self.server.address, "--key", key or self.key, "--timeout", "20"]
        return await asyncio.to_thread(
            subprocess.run, command, env=self.env, input=stdin, capture_output=True, text=True
        )


# One server for all calls here: each test has an offer of its own.


@pytest.fixture(scope="module")
async def database_url(databases: DatabaseFactory) -> AsyncIterator[str]:
    name = await databases.clone()
    yield databases.url(name)
    await databases.drop(name)


@pytest.fixture(scope="module")
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def tenant_id(owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(owner)


@pytest.fixture(scope="module")
async def call(
    tmp_path_factory: pytest.TempPathFactory,
    database_url: str,
    owner: asyncpg.Connection,
    tenant_id: TenantId,
) -> AsyncIterator[Caller]:
    tmp_path = tmp_path_factory.mktemp("call")
    pepper = secrets.token_bytes(32)
    key = make_key(tenant_id, secrets.token_bytes)
    await owner.execute(
        "insert into guerdon.api_keys (tenant_id, key_id, name, secret_hash, scopes) "
        "values ($1, $2, 'test', $3, $4)",
        tenant_id,
        key.key_id,
        hash_secret(pepper, key.secret),
        list(Scope),
    )
    env = environment(database_url, GUERDON_API_KEY_PEPPER=pepper.hex())
    async with serving(tmp_path, env) as server:
        yield Caller(server, key.text, tmp_path)


def redeem(offer_id: object, **more: object) -> str:
    line = {"quantity": 2, "unit_price_minor": "1000"}
    customer_id = str(uuids.uuid7())
    request = {"offer_id": str(offer_id), "customer_id": customer_id, "currency": "NGN"}
    return json.dumps({**request, "line": line, **more})


async def test_a_redeem_is_answered_as_json(
    call: Caller, owner: asyncpg.Connection, tenant_id: TenantId
) -> None:
    offer_id = await insert_offer(owner, tenant_id)
    result = await call("Redeem", redeem(offer_id))
    assert result.returncode == 0, result.stderr
    redemption = json.loads(result.stdout)["redemption"]
    assert redemption["line"]["paidMinor"] == "1800"
    assert f"request_id: {redemption['requestId']} (made for this call)" in result.stderr
    used = "select used from guerdon.offer_counters where offer_id = $1"
    assert await owner.fetchval(used, offer_id) == 1


async def test_a_request_may_come_through_a_pipe(
    call: Caller, owner: asyncpg.Connection, tenant_id: TenantId
) -> None:
    offer_id = await insert_offer(owner, tenant_id)
    request_id = str(uuids.uuid7())
    result = await call("offerservice/redeem", stdin=redeem(offer_id, request_id=request_id))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["redemption"]["requestId"] == request_id
    assert "made for this call" not in result.stderr


async def test_a_refusal_shows_its_reason_and_sets_the_exit_code(call: Caller) -> None:
    result = await call("Redeem", redeem(uuids.uuid7()))
    assert result.returncode == 100 + 5
    assert result.stdout == ""
    assert "NOT_FOUND" in result.stderr
    assert "reason OFFER_NOT_FOUND" in result.stderr


async def test_every_wrong_field_is_named(call: Caller) -> None:
    result = await call("Redeem", json.dumps({"customer_id": "nobody", "currency": "ngn"}))
    assert result.returncode == 100 + 3
    assert "customer_id: " in result.stderr
    assert "currency: " in result.stderr


async def test_an_unknown_field_is_refused_before_anything_is_sent(call: Caller) -> None:
    result = await call("Redeem", '{"offre": "x"}')
    assert result.returncode == 2
    assert "offre" in result.stderr


async def test_a_wrong_key_is_unauthenticated(call: Caller) -> None:
    result = await call("Redeem", redeem(uuids.uuid7()), key="gdn_wrong")
    assert result.returncode == 100 + 16
    assert "API_KEY_INVALID" in result.stderr


async def test_calls_are_counted_over_all_workers(
    call: Caller, owner: asyncpg.Connection, tenant_id: TenantId
) -> None:
    offer_id = await insert_offer(owner, tenant_id)
    calls = 'guerdon_calls_total{code="OK",method="OfferService/Redeem",reason=""}'
    granted = 'guerdon_redemptions_total{outcome="granted",reason=""}'
    before = [call.server.metric(name) or 0 for name in (calls, granted)]
    await call("Redeem", redeem(offer_id))
    after = [call.server.metric(name) for name in (calls, granted)]
    assert after == [count + 1 for count in before]
