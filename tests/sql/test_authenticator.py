"""API keys from their making to their end, against a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from guerdon.adapters.authenticator import KeyAuthenticator
from guerdon.adapters.postgres.api_keys import PostgresApiKeys
from guerdon.adapters.postgres.connection import Database
from guerdon.controlplane.api_keys import ApiKeys
from guerdon.domain.errors import FieldsInvalid, NotFound, PageTokenInvalid, Unauthenticated
from guerdon.domain.identifiers import TenantId
from guerdon.limits import CATALOGUE_AGE_SECONDS_MAX
from guerdon.ports import Change, ChangeKind, KeyProof
from tests.support.control import PEPPER, Clock, make_keys, metrics
from tests.support.ledger import insert_tenant, new_id

SCOPES = ["offers.redeem", "offers.read"]


class Store(PostgresApiKeys):
    """The real store, counted."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.lookups = 0

    async def find_proof(self, tenant_id: TenantId, key_id: str) -> KeyProof | None:
        self.lookups += 1
        return await super().find_proof(tenant_id, key_id)


@pytest.fixture
async def tenant_id(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner)


@pytest.fixture
def keys(shared_database: Database) -> ApiKeys:
    return make_keys(shared_database)


@pytest.fixture
def store(shared_database: Database) -> Store:
    return Store(shared_database)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def authenticator(store: Store, clock: Clock) -> AsyncIterator[KeyAuthenticator]:
    authenticator = KeyAuthenticator(store, PEPPER, clock, metrics())
    yield authenticator
    await authenticator.close()


async def refusal(authenticator: KeyAuthenticator, key: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await authenticator.authenticate(key)
    return refused.value.reason


async def test_a_key_opens_its_tenant_with_its_scopes_and_is_looked_up_once(
    keys: ApiKeys, authenticator: KeyAuthenticator, store: Store, tenant_id: TenantId
) -> None:
    made = await keys.create(tenant_id, "checkout", SCOPES)
    callers = await asyncio.gather(*(authenticator.authenticate(made.secret) for _ in range(50)))
    assert {caller.tenant_id for caller in callers} == {tenant_id}
    assert {caller.key_id for caller in callers} == {made.key.key_id}
    assert callers[0].scopes == frozenset(SCOPES)
    await authenticator.authenticate(made.secret)
    assert store.lookups == 1


async def test_only_a_keyed_hash_is_kept(
    keys: ApiKeys, shared_owner: asyncpg.Connection, tenant_id: TenantId
) -> None:
    made = await keys.create(tenant_id, "checkout", SCOPES)
    # The secret itself may hold an underscore, so the parts are told by their lengths.
    public, secret = made.secret[:-44], made.secret[-43:]
    row = await shared_owner.fetchval(
        "select k::text from guerdon.api_keys k where tenant_id = $1", tenant_id
    )
    assert secret not in row
    assert public.endswith(made.key.key_id)


async def test_unknown_tenant_unknown_key_wrong_secret_and_wrong_pepper_are_one_answer(
    keys: ApiKeys,
    authenticator: KeyAuthenticator,
    store: Store,
    tenant_id: TenantId,
    shared_owner: asyncpg.Connection,
) -> None:
    secret = (await keys.create(tenant_id, "checkout", SCOPES)).secret
    head, tenant, key_id, tail = secret.split("_", 3)
    other = (await insert_tenant(shared_owner)).hex
    swapped = "B" + tail[1:] if tail[0] == "A" else "A" + tail[1:]
    for forged in (
        f"{head}_{new_id().hex}_{key_id}_{tail}",
        f"{head}_{other}_{key_id}_{tail}",
        f"{head}_{tenant}_{'0' * 16}_{tail}",
        f"{head}_{tenant}_{key_id}_{swapped}",
        "x" * 97,
        "x",
        "é" * 97,
    ):
        assert await refusal(authenticator, forged) == "API_KEY_INVALID"
    assert await refusal(authenticator, "") == "API_KEY_MISSING"
    lookups = store.lookups
    assert lookups == 4
    assert await refusal(authenticator, f"{head}_{other}_{key_id}_{tail}") == "API_KEY_INVALID"
    assert store.lookups == lookups
    peppered = KeyAuthenticator(store, b"another pepper of 32 bytes......", Clock(), metrics())
    assert await refusal(peppered, secret) == "API_KEY_INVALID"


async def test_a_revoked_key_ends_when_the_change_is_told_and_at_the_latest_with_its_age(
    keys: ApiKeys, authenticator: KeyAuthenticator, clock: Clock, tenant_id: TenantId
) -> None:
    made = await keys.create(tenant_id, "checkout", SCOPES)
    other = await keys.create(tenant_id, "other", SCOPES)
    for key in (made, other):
        await authenticator.authenticate(key.secret)
        await keys.revoke(tenant_id, key.key.key_id)
        await authenticator.authenticate(key.secret)
    authenticator.apply(Change(ChangeKind.KEY, tenant_id, made.key.key_id, 0))
    assert await refusal(authenticator, made.secret) == "API_KEY_REVOKED"
    await authenticator.authenticate(other.secret)
    clock.seconds += CATALOGUE_AGE_SECONDS_MAX
    assert await refusal(authenticator, other.secret) == "API_KEY_REVOKED"


async def test_a_key_expires_by_the_databases_clock(
    keys: ApiKeys,
    authenticator: KeyAuthenticator,
    clock: Clock,
    shared_owner: asyncpg.Connection,
    tenant_id: TenantId,
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=5)
    made = await keys.create(tenant_id, "short", SCOPES, soon)
    await authenticator.authenticate(made.secret)
    clock.seconds += 4.0
    await authenticator.authenticate(made.secret)
    await shared_owner.execute(
        "update guerdon.api_keys set expires_at = now() where tenant_id = $1", tenant_id
    )
    clock.seconds += 1.0
    assert await refusal(authenticator, made.secret) == "API_KEY_EXPIRED"


async def test_the_keys_of_a_deleted_tenant_open_nothing(
    keys: ApiKeys,
    authenticator: KeyAuthenticator,
    shared_owner: asyncpg.Connection,
    tenant_id: TenantId,
) -> None:
    made = await keys.create(tenant_id, "checkout", SCOPES)
    await authenticator.authenticate(made.secret)
    await shared_owner.execute(
        "update guerdon.tenants set deleted_at = now() where tenant_id = $1", tenant_id
    )
    authenticator.apply(Change(ChangeKind.TENANT, tenant_id, str(tenant_id), 0))
    assert await refusal(authenticator, made.secret) == "API_KEY_INVALID"


async def test_after_missed_changes_every_key_is_looked_up_again(
    keys: ApiKeys, authenticator: KeyAuthenticator, tenant_id: TenantId
) -> None:
    made = await keys.create(tenant_id, "checkout", SCOPES)
    await authenticator.authenticate(made.secret)
    await keys.revoke(tenant_id, made.key.key_id)
    authenticator.forget_all()
    assert await refusal(authenticator, made.secret) == "API_KEY_REVOKED"


async def test_a_key_must_have_a_name_known_scopes_and_a_future(
    keys: ApiKeys, tenant_id: TenantId
) -> None:
    with pytest.raises(FieldsInvalid) as wrong:
        await keys.create(tenant_id, " ", ["offers.read", "offers.everything"])
    assert [one.path for one in wrong.value.violations] == ["name", "scopes[1]"]
    with pytest.raises(FieldsInvalid) as wrong:
        await keys.create(tenant_id, "x" * 101, [])
    assert [one.path for one in wrong.value.violations] == ["name", "scopes"]
    with pytest.raises(FieldsInvalid) as wrong:
        await keys.create(tenant_id, "late", SCOPES, datetime.now(UTC) - timedelta(seconds=1))
    assert [one.path for one in wrong.value.violations] == ["expire_time"]


async def test_keys_are_listed_newest_first_and_revoked_once(
    keys: ApiKeys, shared_owner: asyncpg.Connection, tenant_id: TenantId
) -> None:
    made = [await keys.create(tenant_id, f"key {number}", SCOPES) for number in range(5)]
    first = await keys.list_page(tenant_id, 3, "")
    rest = await keys.list_page(tenant_id, 3, first.next_page_token)
    names = [key.name for key in (*first.keys, *rest.keys)]
    assert names == ["key 4", "key 3", "key 2", "key 1", "key 0"]
    assert rest.next_page_token == ""
    other = await insert_tenant(shared_owner)
    with pytest.raises(PageTokenInvalid):
        await keys.list_page(other, 3, first.next_page_token)
    once = await keys.revoke(tenant_id, made[0].key.key_id)
    twice = await keys.revoke(tenant_id, made[0].key.key_id)
    assert once.revoked_at is not None
    assert twice == once
    with pytest.raises(NotFound):
        await keys.revoke(other, made[0].key.key_id)
