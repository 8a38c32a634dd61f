"""Every RPC with another tenant's ids: nothing is seen, and nothing of theirs is changed."""

from typing import Any

import pytest

from guerdon.domain.api_keys import parse_key
from tests.grpc.house import PATHS, House, Tenant, line, redeem_fields
from tests.support.ledger import new_id

ID = "64d1f75e-00e4-4d9c-af27-fef057501400"
# What the other tenant has, by what the attempts below call it.
Things = dict[str, str]


async def make_things(owner: Tenant) -> Things:
    """One of everything, with ids that are the same for nobody else."""
    customer = str(new_id())
    offer_id = await owner.new_offer(code="SECRET50", title="Theirs", per_user_limit=5)
    granted = await owner.redeem(offer_id, customer_id=customer, order_ref="SO-THEIRS")
    await owner.call("PushCustomers", customers=[{"customer_id": customer, "roles": ["vip"]}])
    await owner.call(
        "PushProducts",
        products=[{"product_id": ID, "kind": "PRODUCT_KIND_RETAIL", "sku": "THEIRS"}],
    )
    key = parse_key(owner.key)
    assert key is not None
    return {
        "offer": offer_id,
        "customer": customer,
        "request": granted.redemption.request_id,
        "key": key.key_id,
    }


def attempts(things: Things) -> dict[str, tuple[dict[str, Any], str]]:
    """By method: a request that names their things, and the reason or '' for an empty OK."""
    offer, customer, request = things["offer"], things["customer"], things["request"]
    item = redeem_fields(offer, customer_id=customer)
    priced = {"line": line(), "currency": "NGN"}
    transaction = {
        "transaction_id": "T-1", "customer_id": customer, "currency": "NGN",
        "kind": "TRANSACTION_KIND_TOPUP", "amount_minor": 1,
        "status": "TRANSACTION_STATUS_SUCCEEDED", "occurred_time": "2026-11-01T00:00:00Z",
    }  # fmt: skip
    return {
        "CheckEligibility": ({"offer_id": offer, "customer_id": customer}, "OFFER_NOT_FOUND"),
        "Quote": ({"offer_id": offer, **priced}, "OFFER_NOT_FOUND"),
        "Redeem": (item, "OFFER_NOT_FOUND"),
        "RedeemBatch": ({"requests": [item]}, ""),
        "Revoke": ({"request_id": request}, ""),
        "GetRedemption": ({"request_id": request}, "REDEMPTION_NOT_FOUND"),
        "ListRedemptions": ({"customer_id": customer}, ""),
        "ListApplicableOffers": (priced, ""),
        "CreateOffer": (
            {"offer": {"title": "x", "discount_type": "percentage"}, "offer_id": offer},
            "",
        ),
        "GetOffer": ({"offer_id": offer}, "OFFER_NOT_FOUND"),
        "ListOffers": ({}, ""),
        "UpdateOffer": ({"offer": {"offer_id": offer, "title": "Mine"}}, "OFFER_NOT_FOUND"),
        "ChangeOfferStatus": ({"offer_id": offer, "status": "cancelled"}, "OFFER_NOT_FOUND"),
        "PushCustomers": (
            {"customers": [{"customer_id": customer, "status": "CUSTOMER_STATUS_BLOCKED"}]},
            "",
        ),
        "PushProducts": (
            {"products": [{"product_id": ID, "kind": "PRODUCT_KIND_SERVICE", "deleted": True}]},
            "",
        ),
        "PushOperators": ({"operators": [{"operator_id": ID, "name": "Mine"}]}, ""),
        "PushSuppliers": ({"suppliers": [{"supplier_id": ID, "name": "Mine"}]}, ""),
        "PushTransactions": ({"transactions": [transaction]}, ""),
        "StreamTransactions": ({"chunk_number": 1, "transactions": [transaction]}, ""),
        "PushActivity": ({"activities": [{"customer_id": customer, "day": "2026-11-01"}]}, ""),
        "CreateApiKey": ({"name": "mine", "scopes": ["offers.read"]}, ""),
        "ListApiKeys": ({}, ""),
        "RevokeApiKey": ({"api_key_id": things["key"]}, "API_KEY_NOT_FOUND"),
    }  # fmt: skip


NAMES = sorted(PATHS)


async def rows_of(house: House, owner: Tenant) -> dict[str, list[str]]:
    """Everything in the database that is this tenant's."""
    tables = await house.owner.fetch(
        "select table_name as name from information_schema.columns "
        "where table_schema = 'guerdon' and column_name = 'tenant_id'"
    )
    return {
        table["name"]: [
            row[0]
            for row in await house.owner.fetch(
                f"select t::text from guerdon.{table['name']} t where tenant_id = $1 order by 1",
                owner.tenant_id,
            )
        ]
        for table in tables
    }


def test_every_method_is_tried() -> None:
    things = dict.fromkeys(("offer", "customer", "request", "key"), ID)
    assert sorted(attempts(things)) == NAMES


@pytest.mark.parametrize("method", NAMES)
async def test_another_tenants_things_are_neither_seen_nor_changed(
    house: House, tenant: Tenant, stranger: Tenant, method: str
) -> None:
    things = await make_things(tenant)
    before = await rows_of(house, tenant)
    assert sum(map(len, before.values())) > 8
    fields, reason = attempts(things)[method]
    if reason:
        assert (await stranger.fail(method, **fields)).reason == reason
    else:
        shown = str(await stranger.call(method, **fields))
        for secret in ("SECRET50", "Theirs", "SO-THEIRS", "THEIRS", tenant.tenant_id.hex):
            assert secret not in shown
    assert await rows_of(house, tenant) == before


async def test_a_code_of_another_tenant_is_as_unknown_as_one_of_nobody(
    tenant: Tenant, stranger: Tenant
) -> None:
    await make_things(tenant)
    theirs = await stranger.refuse("", code="SECRET50")
    nobodys = await stranger.refuse("", code="SECRET51")
    assert theirs.status == nobodys.status


async def test_lists_show_nothing_of_another_tenant(tenant: Tenant, stranger: Tenant) -> None:
    things = await make_things(tenant)
    for fields in (
        {"customer_id": things["customer"]},
        {"offer_id": things["offer"]},
        {"order": {"offer_id": things["offer"], "order_ref": "SO-THEIRS"}},
    ):
        assert not (await stranger.call("ListRedemptions", **fields)).redemptions
        assert (await tenant.call("ListRedemptions", **fields)).redemptions
    assert not (await stranger.call("ListOffers")).offers
    assert len((await stranger.call("ListApiKeys")).api_keys) == 1


async def test_the_same_ids_are_different_things_for_different_tenants(
    tenant: Tenant, stranger: Tenant
) -> None:
    things = await make_things(tenant)
    offer = {"title": "Mine", "discount_type": "percentage", "discount_value": 50,
             "status": "active", "per_user_limit": 5}  # fmt: skip
    await stranger.call("CreateOffer", offer=offer, offer_id=things["offer"])
    mine = await stranger.redeem(
        things["offer"], request_id=things["request"], customer_id=things["customer"]
    )
    assert mine.redemption.line.paid_minor == 5_000
    assert mine.redemption.customer_use == 1
    await stranger.call("Revoke", request_id=things["request"])
    theirs = await tenant.call("GetRedemption", request_id=things["request"])
    assert (theirs.state, theirs.line.paid_minor) == (1, 9_000)
