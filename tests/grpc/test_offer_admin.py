"""OfferAdminService as offers' owners see it."""

from typing import Any

import grpc
import pytest

from tests.grpc.house import House, Tenant
from tests.support.ledger import new_id

Code = grpc.StatusCode
PRODUCT = "64d1f75e-00e4-4d9c-af27-fef057501400"
FULL: dict[str, Any] = {
    "code": "Save50",
    "title": "Weekend Blitz",
    "description": "For the weekend",
    "translations": [{"locale": "ar", "title": "عرض", "description": "وصف"}],
    "internal_note": "ask Ada",
    "status": "draft",
    "kind": "product",
    "discount_type": "percentage",
    "discount_value": 12.5,
    "max_discount_minor": "50000",
    "currency": "NGN",
    "priority": 10,
    "auto_apply": True,
    "service_type": "pickup",
    "per_user_limit": 2,
    "total_usage_limit": 1000,
    "apply_to": "operator_product",
    "products": [
        {
            "product_id": PRODUCT,
            "offer_percentage": 20,
            "offer_quantity": 2,
            "max_quantity_per_purchase": 10,
            "max_uses": 50,
        }
    ],
    "audience_mode": "listed",
    "allowed_customer_ids": [PRODUCT],
    "allowed_roles": ["reseller"],
    "eligibility_logic": "any",
    "rules": [
        {
            "rule_key": "big_spender",
            "rule_type": "min_spent",
            "params": {"amount": 5000, "window_days": 30},
            "description": "Spent 5k in last month",
        }
    ],
    "starts_at": "2026-01-01T00:00:00Z",
    "ends_at": "2100-01-01T00:00:00Z",
    "offer_quantity": 1,
}


async def test_an_offer_is_read_as_it_was_written(tenant: Tenant) -> None:
    created = await tenant.call("CreateOffer", offer=FULL)
    read = await tenant.call("GetOffer", offer_id=created.offer_id)
    assert read == created
    for name, value in FULL.items():
        shown = getattr(read, name)
        if name.endswith("_at"):
            assert shown.ToJsonString() == value
        elif not isinstance(value, list):
            assert str(shown) == str(value), name
    assert (read.version, read.usage_count) == (1, 0)
    assert read.translations[0].title == "عرض"
    assert (read.products[0].offer_percentage, read.products[0].max_uses) == (20, 50)
    assert read.rules[0].params["amount"] == 5000
    assert list(read.allowed_customer_ids) == [PRODUCT]
    assert read.created_by
    assert read.etag


async def test_the_payload_of_the_admin_form_is_taken_as_it_is(tenant: Tenant) -> None:
    offer = {
        "title": "Weekend Blitz",
        "discountType": "percentage",
        "discountValue": 10,
        "perUserLimit": 1,
        "totalUsageLimit": 1000,
        "applyTo": "operator_product",
        "productIds": [PRODUCT],
        "eligibilityLogic": "all",
        "rules": [
            {
                "rule_key": "new_user_promo",
                "rule_type": "new_user",
                "params": {"account_age_days": 7},
                "description": "User joined in last 7 days",
            }
        ],
    }
    created = await tenant.call("CreateOffer", offer=offer)
    assert (created.status, created.kind, created.currency) == ("draft", "product", "NGN")
    assert created.products[0].product_id == PRODUCT


async def test_an_offer_can_be_sent_back_as_it_was_read(tenant: Tenant) -> None:
    created = await tenant.call("CreateOffer", offer={**FULL, "status": "active"})
    path = "UpdateOffer"
    again = await tenant.call(path, offer={**FULL, "offer_id": created.offer_id})
    assert again == created


async def test_a_mask_changes_what_it_names_and_nothing_else(tenant: Tenant) -> None:
    created = await tenant.call("CreateOffer", offer=FULL)
    changed = await tenant.call(
        "UpdateOffer",
        offer={"offer_id": created.offer_id, "title": "Monday", "priority": 99},
        update_mask="title,perUserLimit",
    )
    assert (changed.title, changed.priority, changed.version) == ("Monday", 10, 2)
    assert not changed.HasField("per_user_limit")
    assert changed.etag != created.etag


@pytest.mark.parametrize(
    "path", ["status", "offerId", "version", "etag", "nonsense", "rules.params"]
)
async def test_a_mask_cannot_name_what_cannot_be_changed(tenant: Tenant, path: str) -> None:
    offer_id = await tenant.new_offer()
    failure = await tenant.fail("UpdateOffer", offer={"offer_id": offer_id}, update_mask=path)
    assert (failure.reason, failure.fields) == ("FIELDS_INVALID", ["update_mask"])


async def test_an_etag_of_another_state_is_refused(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer()
    etag = (await tenant.call("GetOffer", offer_id=offer_id)).etag
    edit = {"offer_id": offer_id, "title": "Other", "etag": etag}
    await tenant.call("UpdateOffer", offer=edit)
    failure = await tenant.fail("UpdateOffer", offer={**edit, "title": "Third"})
    assert (failure.code, failure.reason) == (Code.ABORTED, "ETAG_MISMATCH")
    stale = await tenant.fail("ChangeOfferStatus", offer_id=offer_id, status="paused", etag=etag)
    assert stale.reason == "ETAG_MISMATCH"


async def test_a_pause_stops_redemptions_at_once(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer()
    await tenant.redeem(offer_id)
    paused = await tenant.call("ChangeOfferStatus", offer_id=offer_id, status="paused")
    assert (paused.offer.status, paused.offer.usage_count) == ("paused", 1)
    failure = await tenant.refuse(offer_id)
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, "OFFER_NOT_ACTIVE")
    await tenant.call("ChangeOfferStatus", offer_id=offer_id, status="active")
    await tenant.redeem(offer_id)


async def test_a_status_has_its_ways(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer()
    await tenant.call("ChangeOfferStatus", offer_id=offer_id, status="cancelled")
    failure = await tenant.fail("ChangeOfferStatus", offer_id=offer_id, status="active")
    assert (failure.code, failure.reason) == (
        Code.FAILED_PRECONDITION,
        "STATUS_TRANSITION_ILLEGAL",
    )
    told = {"offer_id": offer_id, "from": "cancelled", "to": "active"}
    assert dict(failure.info.metadata) == told


async def test_an_offer_that_could_not_be_redeemed_does_not_become_active(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer(status="draft", ends_at="2001-01-01T00:00:00Z")
    failure = await tenant.fail("ChangeOfferStatus", offer_id=offer_id, status="active")
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, "OFFER_INVALID")
    assert failure.fields
    assert dict(failure.info.metadata) == {"offer_id": offer_id, "violation_count": "1"}


async def test_codes_and_ids_are_used_once(tenant: Tenant, stranger: Tenant) -> None:
    offer_id = str(new_id())
    offer = {"title": "x", "discount_type": "percentage", "discount_value": 1, "code": "Save50"}
    await tenant.call("CreateOffer", offer=offer, offer_id=offer_id)
    used = await tenant.fail("CreateOffer", offer={**offer, "code": " SAVE50 "})
    assert (used.code, used.reason) == (Code.ALREADY_EXISTS, "CODE_ALREADY_USED")
    assert dict(used.info.metadata) == {"code": "SAVE50"}
    twice = await tenant.fail("CreateOffer", offer={**offer, "code": ""}, offer_id=offer_id)
    assert (twice.code, twice.reason) == (Code.ALREADY_EXISTS, "OFFER_ALREADY_EXISTS")
    assert dict(twice.info.metadata) == {"offer_id": offer_id}
    await stranger.call("CreateOffer", offer=offer)


async def test_offers_are_listed_newest_first_page_by_page(tenant: Tenant) -> None:
    made = [await tenant.new_offer(title=str(number)) for number in range(5)]
    draft = await tenant.new_offer(status="draft")
    listed, token, pages = [], "", 0
    while pages == 0 or token:
        page = await tenant.call("ListOffers", page_size=2, page_token=token, status="active")
        listed += [offer.offer_id for offer in page.offers]
        token, pages = page.next_page_token, pages + 1
    assert (listed, pages) == (made[::-1], 3)
    assert (await tenant.call("ListOffers")).offers[0].offer_id == draft
    first = await tenant.call("ListOffers", page_size=2)
    failure = await tenant.fail("ListOffers", page_token=first.next_page_token, status="draft")
    assert failure.reason == "PAGE_TOKEN_INVALID"


BAD_OFFERS: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "offer.title"),
    ({"title": "  "}, "offer.title"),
    ({"discount_type": ""}, "offer.discount_type"),
    ({"discount_value": 100.01}, "offer.discount_value"),
    ({"discount_value": 12.345}, "offer.discount_value"),
    ({"discount_type": "fixed_amount", "discount_value": 1.234}, "offer.discount_value"),
    ({"currency": "ZZZ"}, "offer.currency"),
    ({"starts_at": "2027-01-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"}, "offer.ends_at"),
    ({"discount_type": "buy_x_get_y", "discount_value": 0}, "offer.buy_x_get_y"),
    ({"kind": "bogo"}, "offer.discount_type"),
    ({"rules": [{"rule_type": "new_user"}]}, "offer.rules[0].params.account_age_days"),
    (
        {"rules": [{"rule_type": "new_user", "params": {"account_age_days": "7"}}]},
        "offer.rules[0].params.account_age_days",
    ),
    (
        {"rules": [{"rule_type": "new_user", "params": {"account_age_days": -1}}]},
        "offer.rules[0].params.account_age_days",
    ),
    (
        {"rules": [{"rule_type": "new_user", "params": {"account_age_days": 7.5}}]},
        "offer.rules[0].params.account_age_days",
    ),
    (
        {"rules": [{"rule_type": "new_user", "params": {"account_age_days": 7, "extra": 1}}]},
        "offer.rules[0].params.extra",
    ),
    (
        {"rules": [{"rule_type": "min_spent", "params": {"amount": "'; drop table x; --"}}]},
        "offer.rules[0].params.amount",
    ),
    (
        {"rules": [{"rule_type": "min_spent", "params": {"amount": 1e300}}]},
        "offer.rules[0].params.amount",
    ),
    (
        {"rules": [{"rule_type": "operator_spent", "params": {"amount": 1, "operator_id": "x"}}]},
        "offer.rules[0].params.operator_id",
    ),
    (
        {"rules": [{"rule_type": "min_topups", "params": {"count": {"a": [1, {"b": None}]}}}]},
        "offer.rules[0].params.count",
    ),
    (
        {"rules": [{"rule_type": "min_topups", "params": {"count": 1, "x": "y" * 100_000}}]},
        "offer.rules[0].params.x",
    ),
]


def camel_case(name: str) -> str:
    """A field as a mask in JSON names it."""
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


@pytest.mark.parametrize(("change", "path"), BAD_OFFERS, ids=[path for _, path in BAD_OFFERS])
async def test_an_offer_that_makes_no_sense_is_refused_with_the_path(
    house: House, tenant: Tenant, change: dict[str, Any], path: str
) -> None:
    offer = {"title": "x", "discount_type": "percentage", "discount_value": 10, **change}
    offer_id = await tenant.new_offer(status="draft")
    before = await house.content()
    created = await tenant.fail("CreateOffer", offer=offer)
    updated = await tenant.fail(
        "UpdateOffer",
        offer={**offer, "offer_id": offer_id},
        update_mask=",".join(map(camel_case, offer)),
    )
    for failure in (created, updated):
        assert (failure.code, failure.reason) == (Code.INVALID_ARGUMENT, "FIELDS_INVALID")
        assert failure.fields == [path]
    assert await house.content() == before
