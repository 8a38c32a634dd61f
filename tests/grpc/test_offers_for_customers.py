"""CheckEligibility, Quote and ListApplicableOffers as their callers see them."""

from typing import Any

import grpc
import pytest

from guerdon.api.offers.v1 import error_reason_pb2, pricing_pb2
from tests.grpc.house import Tenant, line
from tests.support.ledger import new_id

Code = grpc.StatusCode
PRODUCT = "64d1f75e-00e4-4d9c-af27-fef057501400"
TWO_RULES = [
    {"rule_key": "new", "rule_type": "new_user", "params": {"account_age_days": 7}},
    {"rule_key": "three", "rule_type": "min_topups", "params": {"count": 3}},
]


def reasons(refusals: Any) -> list[str]:
    prefix = "ERROR_REASON_"
    return [
        error_reason_pb2.ErrorReason.Name(refusal.reason).removeprefix(prefix)
        for refusal in refusals
    ]


async def quote(tenant: Tenant, **fields: Any) -> Any:
    return await tenant.call("Quote", **{"line": line(), "currency": "NGN", **fields})


async def applicable(tenant: Tenant, **fields: Any) -> Any:
    given = {"line": line(), "currency": "NGN", **fields}
    return await tenant.call("ListApplicableOffers", **given)


async def test_every_rule_is_explained_with_what_is_missing(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer(rules=TWO_RULES)
    answer = await tenant.call("CheckEligibility", offer_id=offer_id, customer_id=str(new_id()))
    assert not answer.eligible
    assert reasons(answer.refusals) == ["NOT_ELIGIBLE"]
    new, three = answer.rule_results
    assert (new.rule_key, new.rule_type, new.passed) == ("new", "new_user", False)
    assert new.problem
    assert not new.HasField("actual")
    assert (three.rule_key, three.passed, three.required) == ("three", False, 3)
    assert (answer.offer_id, answer.offer_version) == (offer_id, 1)
    assert answer.eligibility_logic == "all"
    assert answer.evaluated_time.seconds > 1_700_000_000


async def test_pushed_facts_make_a_customer_eligible(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer(rules=TWO_RULES, code="WELCOME")
    customer = str(new_id())
    now = (await quote(tenant)).evaluated_time.ToJsonString()
    await tenant.call("PushCustomers", customers=[{"customer_id": customer, "created_time": now}])
    topup = {
        "customer_id": customer, "kind": "TRANSACTION_KIND_TOPUP", "currency": "NGN",
        "status": "TRANSACTION_STATUS_SUCCEEDED", "amount_minor": 5_000, "occurred_time": now,
    }  # fmt: skip
    topups = [{**topup, "transaction_id": f"T-{number}"} for number in range(3)]
    await tenant.call("PushTransactions", transactions=topups)
    answer = await tenant.call("CheckEligibility", code="welcome", customer_id=customer)
    assert answer.eligible, answer
    assert [(r.passed, r.actual, r.required) for r in answer.rule_results] == [
        (True, 0, 7),
        (True, 3, 3),
    ]
    assert (await tenant.redeem(offer_id, customer_id=customer)).redemption.customer_use == 1


async def test_what_stands_against_a_line_is_told_as_data(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer(offer_quantity=2, per_user_limit=1)
    answer = await tenant.call(
        "CheckEligibility",
        offer_id=offer_id,
        customer_id=str(new_id()),
        line=line(),
        currency="NGN",
    )
    assert (answer.eligible, reasons(answer.refusals)) == (False, ["QUANTITY_TOO_LOW"])
    assert answer.refusals[0].message
    assert answer.refusals[0].metadata["quantity_min"] == "2"


@pytest.mark.parametrize("method", ["CheckEligibility", "Quote"])
async def test_an_unknown_offer_is_an_error(tenant: Tenant, method: str) -> None:
    fields = {"line": line(), "currency": "NGN", "customer_id": str(new_id())}
    failure = await tenant.fail(method, code="nothing", **fields)
    assert (failure.code, failure.reason) == (Code.NOT_FOUND, "OFFER_NOT_FOUND")


async def test_a_quote_takes_the_named_offer_or_the_best_that_applies(tenant: Tenant) -> None:
    assert not (await quote(tenant)).HasField("applied_offer")
    ten = await tenant.new_offer()
    thirty = await tenant.new_offer(discount_value=30, code="THIRTY")
    twenty = await tenant.new_offer(discount_value=20)
    best = await quote(tenant)
    assert (best.applied_offer.offer_id, best.line.paid_minor) == (twenty, 8_000)
    named = await quote(tenant, offer_id=ten)
    assert (named.applied_offer.offer_id, named.line.paid_minor) == (ten, 9_000)
    by_code = await quote(tenant, code="thirty", customer_id=str(new_id()))
    assert by_code.applied_offer.offer_id == thirty
    assert by_code.applied_offer.code == "THIRTY"
    assert by_code.line.list_minor == by_code.line.discount_minor + by_code.line.paid_minor


async def test_a_quote_says_why_the_named_offer_does_not_apply(tenant: Tenant) -> None:
    offer_id = await tenant.new_offer(currency="NGN", service_type="delivery")
    answer = await quote(tenant, offer_id=offer_id, service_type="SERVICE_TYPE_PICKUP")
    assert reasons(answer.refusals) == ["SERVICE_TYPE_NOT_COVERED"]
    assert (answer.line.discount_minor, answer.line.paid_minor) == (0, 10_000)
    assert not answer.HasField("applied_offer")


async def test_a_line_too_large_is_an_error_of_the_request(tenant: Tenant) -> None:
    huge = line(quantity=1_000_000, unit_price_minor=10**15)
    for method in ("Quote", "ListApplicableOffers"):
        failure = await tenant.fail(method, line=huge, currency="NGN")
        assert (failure.code, failure.reason) == (Code.INVALID_ARGUMENT, "AMOUNT_TOO_LARGE")


@pytest.mark.parametrize(("stock", "notice"), [(0, "OUT_OF_STOCK"), (3, "LOW_STOCK"), (500, None)])
async def test_a_quote_notes_the_stock(tenant: Tenant, stock: int, notice: str | None) -> None:
    product = {"product_id": PRODUCT, "kind": "PRODUCT_KIND_RETAIL", "stock_quantity": stock}
    await tenant.call("PushProducts", products=[product])
    notices = (await quote(tenant, line=line(product_id=PRODUCT))).notices
    names = [pricing_pb2.NoticeType.Name(n.type).removeprefix("NOTICE_TYPE_") for n in notices]
    assert names == ([notice] if notice else [])


async def test_applicable_offers_come_by_savings_in_the_asked_language(tenant: Tenant) -> None:
    small = await tenant.new_offer(
        title="Small",
        translations=[{"locale": "ar", "title": "صغير", "description": "وصف"}],
        ends_at="2100-01-01T00:00:00Z",
    )
    large = await tenant.new_offer(
        title="Two for one fifty", discount_type="fixed_price", discount_value=150,
        offer_quantity=2,
    )  # fmt: skip
    await tenant.new_offer(title="Only by code", code="HIDDEN", discount_value=90)
    answer = await applicable(tenant, line=line(quantity=2), locale="ar-EG")
    assert not answer.eligibility_evaluated
    first, second = answer.offers
    assert (first.offer_id, first.title, first.locale) == (large, "Two for one fifty", "en")
    assert (first.discount_type, first.discount_value) == ("fixed_price", 150)
    assert (first.offer_quantity, first.kind) == (2, "product")
    assert first.original_price_minor == 20_000
    assert (first.final_price_minor, first.savings_minor) == (15_000, 5_000)
    assert (second.offer_id, second.title, second.locale) == (small, "صغير", "ar")
    assert second.end_time.ToJsonString() == "2100-01-01T00:00:00Z"
    assert len((await applicable(tenant, line=line(quantity=2), page_size=1)).offers) == 1


async def test_applicable_offers_are_evaluated_for_a_customer(tenant: Tenant) -> None:
    await tenant.new_offer(rules=TWO_RULES, discount_value=50)
    everyone = await tenant.new_offer()
    assert len((await applicable(tenant)).offers) == 2
    answer = await applicable(tenant, customer_id=str(new_id()))
    assert answer.eligibility_evaluated
    assert [offer.offer_id for offer in answer.offers] == [everyone]


async def test_a_target_is_shown_with_its_own_terms(tenant: Tenant) -> None:
    await tenant.new_offer(
        apply_to="operator_product",
        products=[{"product_id": PRODUCT, "price_override_minor": 3_995, "offer_quantity": 2}],
    )
    answer = await applicable(tenant, line=line(product_id=PRODUCT, quantity=2))
    (offer,) = answer.offers
    assert (offer.discount_type, offer.discount_value, offer.offer_quantity) == (
        "fixed_price",
        39.95,
        2,
    )
