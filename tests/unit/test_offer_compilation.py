"""From an offer as an admin writes it to the kept form and back, and all that can be wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon import limits
from guerdon.domain.errors import FieldsInvalid
from guerdon.domain.offer_compilation import compile_offer
from guerdon.domain.offer_validation import validate_activation, validate_draft
from guerdon.domain.offers import (
    AudienceMode,
    BuyGet,
    Discount,
    DiscountType,
    Offer,
    OfferDraft,
    OfferKind,
    OfferStatus,
    ProductScope,
    Rule,
    Target,
    Translation,
)
from guerdon.domain.rules import WrittenRule
from guerdon.domain.written_offers import (
    WrittenBuyGet,
    WrittenOffer,
    WrittenProduct,
    WrittenTranslation,
    write_offer,
)
from tests.unit import samples
from tests.unit.samples import NOW, OFFER_ID, make_offer, make_tenant, percent_off

TENANT = make_tenant()
A, B = "64d1f75e-00e4-4d9c-af27-fef057501400", "64d1f75e-00e4-4d9c-af27-fef057501500"
BOGO: dict[str, Any] = {
    "discount_type": "buy_x_get_y",
    "discount_value": 0,
    "buy_x_get_y": WrittenBuyGet(buy_quantity=2, get_quantity=1),
}


def make_written(**changes: Any) -> WrittenOffer:
    """The least that an admin says: 10 % off everything."""
    least = WrittenOffer(title="Weekend Blitz", discount_type="percentage", discount_value=10)
    return msgspec.structs.replace(least, **changes)


def compiled(**changes: Any) -> OfferDraft:
    return compile_offer(make_written(**changes), TENANT, OFFER_ID)


def wrong_paths(**changes: Any) -> list[str]:
    with pytest.raises(FieldsInvalid) as caught:
        compiled(**changes)
    paths = [violation.path for violation in caught.value.violations]
    assert len(paths) == len(set(paths)), "one violation a field"
    return [path.removeprefix("offer.") for path in paths]


def one_product(**changes: Any) -> dict[str, Any]:
    product = msgspec.structs.replace(WrittenProduct(product_id=A), **changes)
    return {"apply_to": "operator_product", "products": (product,)}


def test_the_least_that_is_said_is_an_offer_for_everybody_and_everything() -> None:
    assert compiled() == OfferDraft(
        offer=make_offer(
            status=OfferStatus.DRAFT, translations={"en": Translation("Weekend Blitz")}
        )
    )


def test_the_form_of_the_requirements_is_kept_whole() -> None:
    draft = compiled(
        code=" Save50 ",
        description="For customers",
        translations=(WrittenTranslation(locale="ar", title="خصم"),),
        internal_note="For staff",
        status="scheduled",
        discount_type="fixed_amount",
        discount_value=10.5,
        max_discount_minor=900,
        currency="KWD",
        priority=-3,
        auto_apply=True,
        service_type="pickup",
        per_user_limit=1,
        total_usage_limit=1000,
        apply_to="operator_product",
        products=(WrittenProduct(product_id=A, offer_percentage=20, max_uses=50),),
        product_ids=(B,),
        allowed_customer_ids=(A, A),
        allowed_roles=("reseller",),
        eligibility_logic="any",
        rules=(WrittenRule(rule_type="min_spent", params={"amount": 5000}),),
        starts_at=NOW,
        ends_at=NOW + timedelta(days=30),
    )
    offer = draft.offer
    assert (offer.code, offer.code_normalised) == ("Save50", "save50")
    assert offer.discount == Discount(DiscountType.FIXED_AMOUNT, minor=10_500)
    assert offer.product_scope is ProductScope.LISTED
    assert offer.targets == (
        Target(product_id=UUID(A), discount_bps=2000, max_uses=50),
        Target(product_id=UUID(B)),
    )
    assert offer.audience_mode is AudienceMode.LISTED
    assert draft.allowed_customers == (UUID(A),)
    assert offer.rules == (Rule("min_spent", "min_spent", {"amount_minor": 500_000}),)
    assert offer.translations == {
        "en": Translation("Weekend Blitz", "For customers"),
        "ar": Translation("خصم"),
    }


def test_rule_amounts_are_in_the_tenants_currency_whatever_the_offers() -> None:
    rules = (WrittenRule(rule_type="min_spent", params={"amount": 5000}),)
    offer = compiled(currency="JPY", rules=rules).offer
    assert (offer.currency, offer.rules[0].params) == ("JPY", {"amount_minor": 500_000})


@pytest.mark.parametrize(
    ("apply_to", "product_ids", "scope", "targets"),
    [
        ("", (), ProductScope.ALL, ()),
        ("all", (), ProductScope.ALL, ()),
        ("operator_product", (), ProductScope.OPERATOR_PRODUCTS, ()),
        ("supplier_product", (), ProductScope.SUPPLIER_PRODUCTS, ()),
        ("operator_product", (A,), ProductScope.LISTED, (Target(product_id=UUID(A)),)),
        ("supplier_product", (A,), ProductScope.LISTED, (Target(supplier_product_id=UUID(A)),)),
    ],
)
def test_apply_to_covers_all_of_a_kind_or_what_is_listed(
    apply_to: str, product_ids: tuple[str, ...], scope: ProductScope, targets: tuple[Target, ...]
) -> None:
    offer = compiled(apply_to=apply_to, product_ids=product_ids).offer
    assert (offer.product_scope, offer.targets) == (scope, targets)


def test_buy_x_get_y_makes_an_offer_a_bogo_and_its_pieces_free() -> None:
    offer = compiled(**BOGO).offer
    assert offer.kind is OfferKind.BOGO
    assert offer.discount == Discount(DiscountType.BUY_X_GET_Y)
    assert offer.buy_get == BuyGet(2, 1, get_discount_bps=10_000)


JAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"discount_value": 100.01}, ["discount_value"]),
        ({"discount_value": -10}, ["discount_value"]),
        ({"discount_value": float("nan")}, ["discount_value"]),
        ({"discount_value": 12.345}, ["discount_value"]),
        ({"discount_type": "fixed_amount", "discount_value": 0.001}, ["discount_value"]),
        ({"discount_type": "fixed_price", "discount_value": 1e14}, ["discount_value"]),
        ({"discount_type": ""}, ["discount_type"]),
        ({"discount_type": "half"}, ["discount_type"]),
        ({"title": ""}, ["title"]),
        ({"title": " \t"}, ["title"]),
        ({"title": "x" * 201}, ["title"]),
        ({"title": "a\nb"}, ["title"]),
        ({"description": "x" * 4001}, ["description"]),
        ({"description": "\0"}, ["description"]),
        ({"internal_note": "\0"}, ["internal_note"]),
        (
            {"translations": (WrittenTranslation(locale="en", title="x"),)},
            ["translations[0].locale"],
        ),
        (
            {"translations": (WrittenTranslation(locale="a_b", title="x"),)},
            ["translations[0].locale"],
        ),
        ({"translations": (WrittenTranslation(locale="ar"),)}, ["translations[0].title"]),
        ({"code": "   "}, ["code"]),
        ({"code": "x" * 65}, ["code"]),
        ({"code": "ß" * 33}, ["code"]),
        ({"code": "SA\u200bVE"}, ["code"]),
        ({"code": "SA\0VE"}, ["code"]),
        ({"code": "\u200b"}, ["code"]),
        ({"status": "live"}, ["status"]),
        ({"kind": "bundle"}, ["kind"]),
        ({"kind": "bogo"}, ["discount_type"]),
        (BOGO | {"kind": "product"}, ["kind"]),
        (BOGO | {"buy_x_get_y": None}, ["buy_x_get_y"]),
        (BOGO | {"discount_value": 10}, ["discount_value"]),
        ({"buy_x_get_y": BOGO["buy_x_get_y"]}, ["buy_x_get_y"]),
        (
            BOGO | {"buy_x_get_y": WrittenBuyGet(get_discount_percentage=101, groups_max=0)},
            [
                "buy_x_get_y.get_discount_percentage",
                "buy_x_get_y.buy_quantity",
                "buy_x_get_y.get_quantity",
                "buy_x_get_y.groups_max",
            ],
        ),
        (BOGO | {"offer_quantity": 2}, ["offer_quantity"]),
        ({"offer_quantity": -1}, ["offer_quantity"]),
        ({"max_discount_minor": 0}, ["max_discount_minor"]),
        ({"currency": "XXX"}, ["currency"]),
        ({"currency": "ngn"}, ["currency"]),
        ({"currency": "XXX", "discount_type": "fixed_amount"}, ["currency"]),
        ({"priority": 10**7}, ["priority"]),
        ({"service_type": "drone"}, ["service_type"]),
        ({"per_user_limit": 0}, ["per_user_limit"]),
        ({"total_usage_limit": -1}, ["total_usage_limit"]),
        ({"total_usage_limit": 2**31}, ["total_usage_limit"]),
        ({"apply_to": "some"}, ["apply_to"]),
        ({"product_ids": (A,)}, ["product_ids[0]"]),
        ({"apply_to": "operator_product", "product_ids": (A, "MTN")}, ["product_ids[1]"]),
        ({"apply_to": "operator_product", "product_ids": (A, A)}, ["product_ids[1]"]),
        (one_product() | {"product_ids": (A,)}, ["product_ids[0]"]),
        (one_product(product_id=""), ["products[0]"]),
        (one_product(supplier_id=B), ["products[0]"]),
        (one_product(product_id="x"), ["products[0].product_id"]),
        (one_product(offer_percentage=101), ["products[0].offer_percentage"]),
        (
            one_product(offer_percentage=1, price_override_minor=1),
            ["products[0].offer_percentage"],
        ),
        (
            one_product(offer_percentage=101, price_override_minor=1),
            ["products[0].offer_percentage"],
        ),
        (one_product(price_override_minor=-1), ["products[0].price_override_minor"]),
        (one_product(offer_quantity=2), ["products[0].offer_quantity"]),
        (one_product(offer_quantity=-2, offer_percentage=1), ["products[0].offer_quantity"]),
        (one_product(max_uses=0), ["products[0].max_uses"]),
        (one_product(max_quantity_per_purchase=0), ["products[0].max_quantity_per_purchase"]),
        (
            one_product(offer_quantity=3, price_override_minor=1, max_quantity_per_purchase=2),
            ["products[0].max_quantity_per_purchase"],
        ),
        (
            one_product(max_quantity_per_purchase=2) | BOGO,
            ["products[0].max_quantity_per_purchase"],
        ),
        ({"audience_mode": "some"}, ["audience_mode"]),
        ({"allowed_customer_ids": ("ann",)}, ["allowed_customer_ids[0]"]),
        (
            {"allowed_roles": ("ok", " ", "zero\u200bwidth")},
            ["allowed_roles[1]", "allowed_roles[2]"],
        ),
        ({"eligibility_logic": "xor"}, ["eligibility_logic"]),
        (
            {"rules": (WrittenRule(rule_type="min_topups", params={"count": "3"}),)},
            ["rules[0].params.count"],
        ),
        ({"starts_at": JAN, "ends_at": JAN}, ["ends_at"]),
        ({"starts_at": JAN, "ends_at": JAN - timedelta(seconds=1)}, ["ends_at"]),
        ({"ends_at": datetime(9999, 12, 31, tzinfo=UTC)}, ["ends_at"]),
        ({"starts_at": datetime(1, 1, 1, tzinfo=UTC)}, ["starts_at"]),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_each_wrong_field_is_told_by_its_name(changes: dict[str, Any], paths: list[str]) -> None:
    assert wrong_paths(**changes) == paths


def test_everything_that_is_wrong_is_told_at_once() -> None:
    told = wrong_paths(
        title="",
        code=" ",
        discount_value=900,
        per_user_limit=0,
        starts_at=JAN,
        ends_at=JAN,
        products=(WrittenProduct(product_id="x"), WrittenProduct(supplier_id="y")),
        rules=(WrittenRule(rule_type="new_user"), WrittenRule(rule_type="?")),
    )
    assert set(told) >= {
        "title",
        "code",
        "discount_value",
        "per_user_limit",
        "ends_at",
        "products[0].product_id",
        "products[1].supplier_id",
        "rules[0].params.account_age_days",
        "rules[1].rule_type",
    }


def test_lists_are_bounded() -> None:
    many = tuple(str(UUID(int=number)) for number in range(1, limits.OFFER_TARGETS_MAX + 2))
    assert wrong_paths(apply_to="operator_product", product_ids=many) == ["products"]
    too_many_customers = many[: limits.OFFER_ALLOWED_CUSTOMERS_MAX + 1]
    assert wrong_paths(allowed_customer_ids=too_many_customers) == ["allowed_customer_ids"]


@pytest.mark.parametrize(
    ("code", "normalised"),
    [
        ("\uff33\uff21\uff36\uff25\uff15\uff10", "save50"),
        (" save50\u00a0", "save50"),
        ("Straße", "strasse"),
        ("\ufb01x", "fix"),
    ],
)
def test_full_width_and_other_spellings_of_a_code_are_one(code: str, normalised: str) -> None:
    assert compiled(code=code).offer.code_normalised == normalised


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, []),
        ({"audience_mode": "listed"}, ["offer.audience_mode"]),
        ({"audience_mode": "listed", "allowed_roles": ("reseller",)}, []),
        ({"ends_at": NOW}, ["offer.ends_at"]),
        ({"ends_at": NOW + timedelta(seconds=1)}, []),
    ],
)
def test_an_offer_that_nobody_could_ever_use_is_not_activated(
    changes: dict[str, Any], paths: list[str]
) -> None:
    found = validate_activation(compiled(**changes), NOW)
    assert [violation.path for violation in found] == paths


def test_an_offer_for_listed_products_that_lists_none_is_not_activated() -> None:
    draft = OfferDraft(offer=make_offer(product_scope=ProductScope.LISTED))
    assert [one.path for one in validate_activation(draft, NOW)] == ["offer.products"]


targets_of_an_offer = st.lists(
    samples.targets.filter(lambda target: target is not None), max_size=1
).map(
    lambda targets: tuple(
        target
        for target in targets
        if target is not None
        and (target.offer_quantity == 1 or target.fixed_price_minor or target.discount_bps)
    )
)
kept_offers = st.builds(
    lambda offer, targets: msgspec.structs.replace(
        offer,
        targets=targets,
        product_scope=ProductScope.LISTED if targets else ProductScope.ALL,
        translations={"en": Translation("Title")},
    ),
    samples.offers,
    targets_of_an_offer,
)


@given(kept_offers)
def test_what_is_kept_leads_back_to_itself(offer: Offer) -> None:
    if offer.buy_get is not None and offer.buy_get.get_discount_bps == 0:
        return  # On the wire 0 % off the got pieces means that they are free.
    draft = OfferDraft(offer=offer)
    assert compile_offer(write_offer(draft, TENANT), TENANT, OFFER_ID) == draft


def test_a_kept_offer_is_validated_without_having_been_written() -> None:
    offer = make_offer(discount=percent_off(90_000), rules=(Rule("a", "min_topups", {}),))
    found = validate_draft(OfferDraft(offer=offer), TENANT)
    assert [violation.path for violation in found] == [
        "offer.title",
        "offer.discount_value",
        "offer.rules[0].params.count",
    ]
