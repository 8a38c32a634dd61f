"""ApiKeyService, and what a key then opens."""

import dataclasses

import grpc
import pytest

from guerdon.domain.api_keys import parse_key
from tests.grpc.house import House, Tenant

Code = grpc.StatusCode


async def test_a_new_key_opens_what_its_scopes_say_and_no_more(tenant: Tenant) -> None:
    made = await tenant.call("CreateApiKey", name="till", scopes=["offers.read"])
    till = dataclasses.replace(tenant, key=made.secret)
    await till.call("Quote", line={"quantity": 1, "unit_price_minor": 1}, currency="NGN")
    failure = await till.fail("ListOffers")
    assert (failure.code, failure.reason) == (Code.PERMISSION_DENIED, "SCOPE_MISSING")
    assert made.secret.startswith(made.api_key.prefix)
    assert list(made.api_key.scopes) == ["offers.read"]


async def test_a_revoked_key_opens_nothing(tenant: Tenant) -> None:
    made = await tenant.call("CreateApiKey", name="till", scopes=["offers.admin.read"])
    till = dataclasses.replace(tenant, key=made.secret)
    await till.call("ListOffers")
    first = await tenant.call("RevokeApiKey", api_key_id=made.api_key.api_key_id)
    again = await tenant.call("RevokeApiKey", api_key_id=made.api_key.api_key_id)
    assert first == again
    failure = await till.fail("ListOffers")
    assert (failure.code, failure.reason) == (Code.UNAUTHENTICATED, "API_KEY_REVOKED")


async def test_an_expired_key_opens_nothing(house: House, tenant: Tenant) -> None:
    made = await tenant.call("CreateApiKey", name="till", scopes=["offers.admin.read"])
    await house.owner.execute(
        "update guerdon.api_keys set expires_at = now() - interval '1 s' where key_id = $1",
        made.api_key.api_key_id,
    )
    failure = await dataclasses.replace(tenant, key=made.secret).fail("ListOffers")
    assert (failure.code, failure.reason) == (Code.UNAUTHENTICATED, "API_KEY_EXPIRED")


async def test_an_expiry_must_lie_ahead(tenant: Tenant) -> None:
    failure = await tenant.fail(
        "CreateApiKey", name="till", scopes=["offers.read"], expire_time="2001-01-01T00:00:00Z"
    )
    assert (failure.reason, failure.fields) == ("FIELDS_INVALID", ["expire_time"])


@pytest.mark.parametrize("part", ["tenant", "key", "secret", "form", "case"])
async def test_a_key_that_is_wrong_anywhere_is_unknown(
    tenant: Tenant, stranger: Tenant, part: str
) -> None:
    key, other = parse_key(tenant.key), parse_key(stranger.key)
    assert key is not None
    assert other is not None
    forged = {
        "tenant": tenant.key.replace(key.tenant_id.hex, other.tenant_id.hex),
        "key": tenant.key.replace(key.key_id, other.key_id),
        "secret": tenant.key.replace(key.secret, other.secret),
        "form": tenant.key + "=",
        "case": tenant.key.swapcase(),
    }
    failure = await dataclasses.replace(tenant, key=forged[part]).fail("ListOffers")
    assert (failure.code, failure.reason) == (Code.UNAUTHENTICATED, "API_KEY_INVALID")
    assert not failure.info.metadata


async def test_keys_are_listed_without_their_secrets(house: House, tenant: Tenant) -> None:
    made = [
        await tenant.call("CreateApiKey", name=str(number), scopes=["offers.read"])
        for number in range(3)
    ]
    page = await tenant.call("ListApiKeys", page_size=2)
    rest = await tenant.call("ListApiKeys", page_size=2, page_token=page.next_page_token)
    listed = [*page.api_keys, *rest.api_keys]
    assert [key.api_key_id for key in listed[:3]] == [m.api_key.api_key_id for m in made[::-1]]
    shown = page.SerializeToString() + rest.SerializeToString()
    kept = await house.owner.fetchval("select string_agg(k::text, '') from guerdon.api_keys k")
    for secret in (m.secret for m in made):
        assert secret[-43:].encode() not in shown
        assert secret[-43:] not in kept


async def test_an_unknown_key_cannot_be_revoked(tenant: Tenant) -> None:
    failure = await tenant.fail("RevokeApiKey", api_key_id="0" * 16)
    assert (failure.code, failure.reason) == (Code.NOT_FOUND, "API_KEY_NOT_FOUND")
