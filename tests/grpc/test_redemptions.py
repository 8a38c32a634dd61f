"""Redeem, RedeemBatch, Revoke, GetRedemption and ListRedemptions as their callers see them."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2  # type: ignore[import-untyped]  # The package ships no types.

from tests.grpc.house import Tenant, line, redeem_fields
from tests.support.ledger import new_id

Code = grpc.StatusCode
PRODUCT = "64d1f75e-00e4-4d9c-af27-fef057501400"


async def test_a_redemption_tells_everything_that_was_counted(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer()
    fields = redeem_fields(
        offer_id,
        line=line(product_id=PRODUCT, quantity=2),
        order_ref="SO-1",
        service_type="SERVICE_TYPE_PICKUP",
        expected_paid_minor=18_000,
    )
    redemption = (await tenant.call("Redeem", **fields)).redemption
    assert redemption.request_id == fields["request_id"]
    assert (redemption.offer_id, redemption.offer_version) == (offer_id, 1)
    assert (redemption.customer_id, redemption.customer_use) == (fields["customer_id"], 1)
    priced = redemption.line
    assert (priced.product_id, priced.quantity, priced.unit_price_minor) == (PRODUCT, 2, 10_000)
    assert (priced.list_minor, priced.discount_minor, priced.paid_minor) == (20_000, 2_000, 18_000)
    assert (redemption.currency, redemption.order_ref) == ("NGN", "SO-1")
    assert (redemption.position, redemption.slot) == (0, 0)
    assert redemption.sequence >= 1
    assert redemption.redeem_time.seconds > 1_700_000_000
    assert redemption.state == 0


async def test_a_replay_is_equal_for_ever_and_says_so(tenant: Tenant) -> None:
    fields = redeem_fields(await tenant.new_offer())
    first, trailers = await tenant.call_with_trailers("Redeem", **fields)
    assert "guerdon-replayed" not in trailers
    await tenant.call("Revoke", request_id=fields["request_id"], reason="payment failed")
    again, trailers = await tenant.call_with_trailers("Redeem", **fields)
    assert again.SerializeToString() == first.SerializeToString()
    assert trailers["guerdon-replayed"] == "true"


async def test_twins_of_one_request_get_one_redemption(tenant: Tenant) -> None:
    fields = redeem_fields(await tenant.new_offer())
    answers = await asyncio.gather(*(tenant.call("Redeem", **fields) for _ in range(20)))
    assert len({answer.SerializeToString() for answer in answers}) == 1


@pytest.mark.parametrize(
    "change",
    [{"customer_id": PRODUCT}, {"line": line(quantity=2)}, {"order_ref": "SO-2"}],
    ids=["customer", "quantity", "order"],
)
async def test_the_same_id_with_another_body_is_refused(
    tenant: Tenant, change: dict[str, Any]
) -> None:
    fields = redeem_fields(await tenant.new_offer())
    first = await tenant.call("Redeem", **fields)
    failure = await tenant.fail("Redeem", **{**fields, **change})
    assert (failure.code, failure.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert (await tenant.call("Redeem", **fields)) == first


async def test_a_revoke_gives_the_use_back_once(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer(total_usage_limit=1)
    request_id = (await tenant.redeem(offer_id)).redemption.request_id
    assert (await tenant.refuse(offer_id)).reason == "TOTAL_LIMIT_REACHED"
    first = await tenant.call("Revoke", request_id=request_id, reason="payment failed")
    second = await tenant.call("Revoke", request_id=request_id, reason="again")
    assert (first.outcome, second.outcome) == (1, 2)
    assert first.revoke_time == second.revoke_time
    assert second.redemption.revoke_reason == "payment failed"
    assert second.redemption.state == 2
    await tenant.redeem(offer_id)
    assert (await tenant.refuse(offer_id)).reason == "TOTAL_LIMIT_REACHED"


async def test_a_revoke_that_comes_first_leaves_a_tombstone(tenant: Tenant) -> None:
    fields = redeem_fields(await tenant.new_offer())
    revocation = await tenant.call("Revoke", request_id=fields["request_id"])
    assert revocation.outcome == 3
    assert not revocation.HasField("redemption")
    failure = await tenant.fail("Redeem", **fields)
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, "REQUEST_REVOKED")
    missing = await tenant.fail("GetRedemption", request_id=fields["request_id"])
    assert (missing.code, missing.reason) == (Code.NOT_FOUND, "REDEMPTION_NOT_FOUND")


async def test_a_redemption_is_shown_with_its_present_state(tenant: Tenant) -> None:
    granted = (await tenant.redeem(await tenant.new_offer())).redemption
    shown = await tenant.call("GetRedemption", request_id=granted.request_id.upper())
    assert shown.state == 1
    shown.ClearField("state")
    assert shown == granted


@pytest.mark.parametrize(
    ("offer", "request_fields", "code", "reason"),
    [
        ({"status": "draft"}, {}, Code.FAILED_PRECONDITION, "OFFER_NOT_ACTIVE"),
        (
            {"starts_at": "2100-01-01T00:00:00Z"},
            {},
            Code.FAILED_PRECONDITION,
            "OFFER_NOT_STARTED",
        ),
        (
            {"service_type": "delivery"},
            {"service_type": "SERVICE_TYPE_PICKUP"},
            Code.FAILED_PRECONDITION,
            "SERVICE_TYPE_NOT_COVERED",
        ),
        ({}, {"currency": "USD"}, Code.FAILED_PRECONDITION, "CURRENCY_NOT_COVERED"),
        ({}, {"currency": "XXX"}, Code.FAILED_PRECONDITION, "CURRENCY_NOT_COVERED"),
        (
            {"apply_to": "operator_product", "product_ids": [PRODUCT]},
            {},
            Code.FAILED_PRECONDITION,
            "PRODUCT_NOT_COVERED",
        ),
        ({"offer_quantity": 2}, {}, Code.FAILED_PRECONDITION, "QUANTITY_TOO_LOW"),
        (
            {
                "apply_to": "operator_product",
                "products": [{"product_id": PRODUCT, "max_quantity_per_purchase": 1}],
            },
            {"line": line(product_id=PRODUCT, quantity=2)},
            Code.FAILED_PRECONDITION,
            "QUANTITY_TOO_HIGH",
        ),
        (
            {},
            {"line": line(quantity=1_000_000, unit_price_minor=10**15)},
            Code.INVALID_ARGUMENT,
            "AMOUNT_TOO_LARGE",
        ),
        ({}, {"expected_paid_minor": 9_001}, Code.FAILED_PRECONDITION, "PRICE_CHANGED"),
        ({"allowed_roles": ["vip"]}, {}, Code.FAILED_PRECONDITION, "NOT_IN_AUDIENCE"),
        (
            {"rules": [{"rule_type": "min_topups", "params": {"count": 1}}]},
            {},
            Code.FAILED_PRECONDITION,
            "NOT_ELIGIBLE",
        ),
    ],
)
async def test_each_refusal_has_its_code_and_reason(
    tenant: Tenant,
    offer: dict[str, Any],
    request_fields: dict[str, Any],
    code: grpc.StatusCode,
    reason: str,
) -> None:
    offer_id = await tenant.new_offer(**offer)
    failure = await tenant.refuse(offer_id, **request_fields)
    assert (failure.code, failure.reason) == (code, reason)


async def test_limits_are_told_in_their_order(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer(total_usage_limit=2, per_user_limit=1)
    customer = str(new_id())
    await tenant.redeem(offer_id, customer_id=customer, order_ref="SO-1")
    spent = await tenant.refuse(offer_id, customer_id=customer)
    assert (spent.code, spent.reason) == (Code.RESOURCE_EXHAUSTED, "CUSTOMER_LIMIT_REACHED")
    used = await tenant.refuse(offer_id, order_ref="SO-1", customer_id=customer)
    assert (used.code, used.reason) == (Code.ALREADY_EXISTS, "ORDER_ALREADY_USED")
    await tenant.redeem(offer_id)
    sold_out = await tenant.refuse(offer_id, customer_id=customer)
    assert (sold_out.code, sold_out.reason) == (Code.RESOURCE_EXHAUSTED, "TOTAL_LIMIT_REACHED")


async def test_an_unknown_offer_is_named_only_by_its_id(tenant: Tenant) -> None:
    offer_id = str(new_id())
    by_id = await tenant.refuse(offer_id)
    assert (by_id.code, by_id.reason) == (Code.NOT_FOUND, "OFFER_NOT_FOUND")
    assert dict(by_id.info.metadata) == {"offer_id": offer_id}
    by_code = await tenant.refuse(offer_id, code="NO-SUCH-CODE")
    assert (by_code.code, by_code.reason) == (Code.NOT_FOUND, "OFFER_NOT_FOUND")
    assert not by_code.info.metadata


@pytest.mark.parametrize("spelling", ["SAVE50", "save50", "  Save50\u2003", "\uff33\uff21VE50"])
async def test_a_code_is_read_in_every_spelling_that_means_the_same(
    tenant: Tenant, spelling: str
) -> None:
    offer_id = await tenant.new_offer(code="Save50")
    redemption = (await tenant.redeem("", code=spelling)).redemption
    assert redemption.offer_id == offer_id


@pytest.mark.parametrize(
    "spelling", ["SAVE\u200b50", "S\u0410VE50", "SAVE 50", "SAVE5", " ", "%", "'; --"]
)
async def test_a_code_that_only_looks_the_same_is_unknown(tenant: Tenant, spelling: str) -> None:
    await tenant.new_offer(code="Save50")
    failure = await tenant.refuse("", code=spelling)
    assert (failure.code, failure.reason) == (Code.NOT_FOUND, "OFFER_NOT_FOUND")


async def test_items_of_a_batch_are_answered_one_by_one_in_order(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer()
    good, other = redeem_fields(offer_id), redeem_fields(offer_id)
    unknown = redeem_fields(str(new_id()))
    wrong = redeem_fields(offer_id, currency="usd")
    batch = await tenant.call("RedeemBatch", requests=[good, unknown, good, wrong, other])
    first, second, third, fourth, fifth = batch.results
    assert first.redemption.request_id == good["request_id"]
    assert third.redemption == first.redemption
    assert fifth.redemption.request_id == other["request_id"]
    assert status_pb2.Status.FromString(second.status.SerializeToString()).code == 5
    assert second.status.message == "There is no such offer."
    assert fourth.status.code == 3
    assert not fourth.HasField("redemption")


async def test_a_batch_sent_again_is_replayed(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer()
    requests = [redeem_fields(offer_id) for _ in range(100)]
    first = await tenant.call("RedeemBatch", requests=requests)
    again = await tenant.call("RedeemBatch", requests=requests)
    assert [r.redemption for r in again.results] == [r.redemption for r in first.results]
    assert not any(result.replayed for result in first.results)
    assert all(result.replayed for result in again.results)


@pytest.mark.parametrize("kind", ["customer", "offer", "order"])
async def test_redemptions_are_listed_newest_first_page_by_page(tenant: Tenant, kind: str) -> None:
    offer_id = await tenant.new_offer()
    customer = str(new_id())
    granted = []
    for _ in range(5):
        answer = await tenant.redeem(offer_id, customer_id=customer, order_ref="SO-1")
        granted.append(answer.redemption.request_id)
        # One order may use an offer again once its use was given back.
        await tenant.call("Revoke", request_id=granted[-1])
    await tenant.redeem(await tenant.new_offer(), order_ref="SO-1")
    filters: dict[str, dict[str, Any]] = {
        "customer": {"customer_id": customer},
        "offer": {"offer_id": offer_id},
        "order": {"order": {"offer_id": offer_id, "order_ref": "SO-1"}},
    }
    listed, token, pages = [], "", 0
    while pages == 0 or token:
        page = await tenant.call("ListRedemptions", **filters[kind], page_size=2, page_token=token)
        assert all(redemption.state == 2 for redemption in page.redemptions)
        listed += [redemption.request_id for redemption in page.redemptions]
        token, pages = page.next_page_token, pages + 1
    assert (listed, pages) == (granted[::-1], 3)


async def test_a_page_token_of_another_list_is_refused(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer()
    for _ in range(2):
        await tenant.redeem(offer_id)
    page = await tenant.call("ListRedemptions", offer_id=offer_id, page_size=1)
    other = await tenant.new_offer()
    for token, wanted in ((page.next_page_token, other), ("bm9uc2Vuc2U=", offer_id), ("a", other)):
        failure = await tenant.fail("ListRedemptions", offer_id=wanted, page_token=token)
        assert (failure.code, failure.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
