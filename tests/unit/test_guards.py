"""The guards: their order, the window, which target matches, and what they tell."""

from collections.abc import Callable
from datetime import timedelta
from itertools import combinations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon import limits
from guerdon.domain.guards import (
    StockNotice,
    decide,
    needs_product,
    refuse_offer,
    stock_notice,
)
from guerdon.domain.identifiers import TargetId
from guerdon.domain.offers import (
    REDEEMABLE_STATUSES,
    Offer,
    OfferReference,
    OfferStatus,
    ProductScope,
    ServiceType,
    Target,
)
from guerdon.domain.products import Product
from guerdon.domain.redemption import Price, PricedLine, Purchase
from guerdon.domain.refusals import Refusal, RefusalReason, refuse_unknown
from guerdon.domain.tenants import PriceSource, Tenant
from tests.unit import samples
from tests.unit.samples import (
    LINKED,
    NOW,
    OWN,
    PRODUCT_ID,
    SUPPLIER,
    make_line,
    make_offer,
    make_product,
    make_purchase,
    make_tenant,
    priced,
    refusal_of,
)

replace = msgspec.structs.replace
TENANT = make_tenant()
INSTANT = timedelta(microseconds=1)


class Case(msgspec.Struct, frozen=True):
    """What decide() is asked; every guard has something to look at, and all of them pass."""

    purchase: Purchase
    offer: Offer
    product: Product
    tenant: Tenant

    def decide(self) -> PricedLine | Refusal:
        return decide(self.purchase, self.offer, self.product, self.tenant, NOW)

    def with_line(self, **changes: int) -> "Case":
        line = replace(self.purchase.line, **changes)
        return replace(self, purchase=replace(self.purchase, line=line))

    def with_target(self, **changes: int) -> "Case":
        target = replace(self.offer.targets[0], **changes)
        return replace(self, offer=replace(self.offer, targets=(target,)))

    def with_product(self, **changes: int | bool) -> "Case":
        return replace(self, product=replace(self.product, **changes))

    def with_offer(self, **changes: object) -> "Case":
        return replace(self, offer=replace(self.offer, **changes))


PASSING = Case(
    make_purchase(
        make_line(5, 10_000), service_type=ServiceType.PICKUP, expected_paid_minor=40_000
    ),
    make_offer(
        product_scope=ProductScope.LISTED,
        targets=(Target(product_id=PRODUCT_ID, discount_bps=2000),),
    ),
    make_product(list_price_minor=10_000, currency="NGN", stock_quantity=50),
    make_tenant(price_source=PriceSource.CATALOGUE, stock_limits=True),
)


def break_amount(case: Case) -> Case:
    price = limits.LINE_AMOUNT_MINOR_MAX // 5 + 1
    return case.with_line(unit_price_minor=price).with_product(list_price_minor=price)


def break_unit_price(case: Case) -> Case:
    return case.with_product(list_price_minor=case.purchase.line.unit_price_minor + 1)


BREAKERS: dict[RefusalReason, Callable[[Case], Case]] = {
    RefusalReason.OFFER_NOT_FOUND: lambda case: case.with_offer(deleted=True),
    RefusalReason.OFFER_NOT_ACTIVE: lambda case: case.with_offer(status=OfferStatus.PAUSED),
    RefusalReason.OFFER_NOT_STARTED: lambda case: case.with_offer(starts_at=NOW + INSTANT),
    RefusalReason.OFFER_ENDED: lambda case: case.with_offer(ends_at=NOW),
    RefusalReason.SERVICE_TYPE_NOT_COVERED: lambda case: case.with_offer(
        service_type=ServiceType.DELIVERY
    ),
    RefusalReason.CURRENCY_NOT_COVERED: lambda case: case.with_offer(currency="USD"),
    RefusalReason.PRODUCT_NOT_COVERED: lambda case: case.with_product(active=False),
    RefusalReason.QUANTITY_TOO_LOW: lambda case: case.with_target(offer_quantity=6),
    RefusalReason.QUANTITY_TOO_HIGH: lambda case: case.with_target(max_quantity_per_purchase=4),
    RefusalReason.OUT_OF_STOCK: lambda case: case.with_product(stock_quantity=4),
    RefusalReason.AMOUNT_TOO_LARGE: break_amount,
    RefusalReason.PRICE_MISMATCH: break_unit_price,
    RefusalReason.PRICE_CHANGED: lambda case: replace(
        case, purchase=replace(case.purchase, expected_paid_minor=1)
    ),
}


def test_what_passes_every_guard_is_priced_by_its_target_and_facts() -> None:
    assert PASSING.decide() == PricedLine(
        Price(50_000, 10_000, 40_000), target_id=TargetId(PRODUCT_ID), product_facts_version=7
    )


def test_the_breakers_know_every_guard_of_the_domain() -> None:
    first, last = RefusalReason.OFFER_NOT_FOUND, RefusalReason.PRICE_CHANGED
    assert list(BREAKERS) == [reason for reason in RefusalReason if first <= reason <= last]


@pytest.mark.parametrize("reason", list(BREAKERS))
def test_each_guard_refuses_by_itself(reason: RefusalReason) -> None:
    assert refusal_of(BREAKERS[reason](PASSING).decide()).reason is reason


@pytest.mark.parametrize(("earlier", "later"), list(combinations(BREAKERS, 2)))
def test_of_two_reasons_the_earlier_is_told(earlier: RefusalReason, later: RefusalReason) -> None:
    both = BREAKERS[later](BREAKERS[earlier](PASSING))
    assert refusal_of(both.decide()).reason is earlier


@given(st.sets(st.sampled_from(sorted(BREAKERS)), min_size=1))
def test_of_many_reasons_the_first_is_told(reasons: set[RefusalReason]) -> None:
    case = PASSING
    for reason in sorted(reasons):
        case = BREAKERS[reason](case)
    assert refusal_of(case.decide()).reason is min(reasons)


def test_an_unknown_offer_and_a_deleted_one_get_the_same_answer() -> None:
    unknown = refuse_unknown(OfferReference(offer_id=PASSING.offer.offer_id))
    assert PASSING.with_offer(deleted=True).decide() == unknown


@pytest.mark.parametrize("status", sorted(set(OfferStatus) - REDEEMABLE_STATUSES))
def test_only_scheduled_and_active_offers_redeem(status: OfferStatus) -> None:
    refusal = refusal_of(PASSING.with_offer(status=status).decide())
    assert refusal.reason is RefusalReason.OFFER_NOT_ACTIVE
    assert refusal.details["status"] == status.value


def test_a_scheduled_offer_redeems_from_its_start_on() -> None:
    scheduled = PASSING.with_offer(status=OfferStatus.SCHEDULED, starts_at=NOW)
    priced(scheduled.decide())


def test_the_window_holds_its_start_and_not_its_end() -> None:
    priced(PASSING.with_offer(starts_at=NOW, ends_at=NOW + INSTANT).decide())
    started_later = PASSING.with_offer(starts_at=NOW + INSTANT).decide()
    assert refusal_of(started_later).details["starts_at"] == "2026-11-21T12:00:00.000001Z"
    assert refusal_of(PASSING.with_offer(ends_at=NOW).decide()).details["ends_at"] == (
        "2026-11-21T12:00:00Z"
    )


@pytest.mark.parametrize("asked", list(ServiceType))
@pytest.mark.parametrize("covered", list(ServiceType))
def test_only_the_other_kind_of_service_is_refused(
    asked: ServiceType, covered: ServiceType
) -> None:
    purchase = make_purchase(service_type=asked)
    decision = decide(purchase, make_offer(service_type=covered), None, TENANT, NOW)
    assert isinstance(decision, Refusal) == (
        {asked, covered} == {ServiceType.DELIVERY, ServiceType.PICKUP}
    )


def test_an_offer_is_judged_without_a_line_and_without_a_currency() -> None:
    offer = make_offer(currency="USD")
    assert refuse_offer(offer, ServiceType.BOTH, None, NOW) is None
    wrong_currency = refuse_offer(offer, ServiceType.BOTH, "NGN", NOW)
    assert wrong_currency is not None
    assert wrong_currency.reason is RefusalReason.CURRENCY_NOT_COVERED


@pytest.mark.parametrize(
    ("offer", "tenant", "needed"),
    [
        (make_offer(), TENANT, False),
        (make_offer(product_scope=ProductScope.LISTED, targets=(OWN,)), TENANT, False),
        (make_offer(product_scope=ProductScope.LISTED, targets=(OWN, LINKED)), TENANT, True),
        (make_offer(product_scope=ProductScope.LISTED, targets=(SUPPLIER,)), TENANT, True),
        (make_offer(product_scope=ProductScope.OPERATOR_PRODUCTS), TENANT, True),
        (make_offer(product_scope=ProductScope.SUPPLIER_PRODUCTS), TENANT, True),
        (make_offer(), make_tenant(price_source=PriceSource.CATALOGUE), True),
        (make_offer(), make_tenant(stock_limits=True), True),
    ],
)
def test_product_facts_are_read_only_where_they_matter(
    offer: Offer, tenant: Tenant, needed: bool
) -> None:
    assert needs_product(offer, tenant) is needed


@given(st.builds(make_product, active=st.booleans(), stock_quantity=st.integers(0, 3)))
def test_facts_that_do_not_matter_change_nothing(product: Product) -> None:
    known = decide(make_purchase(), make_offer(), product, TENANT, NOW)
    assert known == decide(make_purchase(), make_offer(), None, TENANT, NOW)
    assert priced(known).product_facts_version is None


@pytest.mark.parametrize(
    "product",
    [
        make_product(),
        make_product(list_price_minor=10_000, currency="USD"),
        make_product(list_price_minor=9_999, currency="NGN"),
        None,
    ],
)
def test_under_catalogue_prices_only_the_catalogues_price_passes(product: Product | None) -> None:
    tenant = make_tenant(price_source=PriceSource.CATALOGUE)
    refusal = refusal_of(decide(make_purchase(), make_offer(), product, tenant, NOW))
    assert refusal.reason is RefusalReason.PRICE_MISMATCH
    assert refusal.details["unit_price_minor"] == 10_000


def test_under_catalogue_prices_a_line_without_a_product_has_no_price() -> None:
    tenant = make_tenant(price_source=PriceSource.CATALOGUE)
    purchase = make_purchase(make_line(product_id=None))
    refusal = refusal_of(decide(purchase, make_offer(), None, tenant, NOW))
    assert refusal.reason is RefusalReason.PRICE_MISMATCH


@pytest.mark.parametrize("stock", [None, 1, 5])
def test_stock_that_is_enough_or_unknown_refuses_nothing(stock: int | None) -> None:
    product = make_product(stock_quantity=stock)
    decide_under = decide(
        make_purchase(), make_offer(), product, make_tenant(stock_limits=True), NOW
    )
    assert priced(decide_under).product_facts_version == 7


def test_without_stock_limits_an_empty_stock_is_only_a_notice() -> None:
    product = make_product(stock_quantity=0)
    priced(decide(make_purchase(), make_offer(), product, TENANT, NOW))
    assert stock_notice(product, 1) is StockNotice.OUT_OF_STOCK


@pytest.mark.parametrize(
    ("stock", "quantity", "notice"),
    [
        (None, 5, None),
        (limits.LOW_STOCK_PIECES, 1, None),
        (limits.LOW_STOCK_PIECES - 1, 1, StockNotice.LOW_STOCK),
        (3, 3, StockNotice.LOW_STOCK),
        (3, 4, StockNotice.OUT_OF_STOCK),
        (50, 51, StockNotice.OUT_OF_STOCK),
    ],
)
def test_a_quote_notices_little_stock(
    stock: int | None, quantity: int, notice: StockNotice | None
) -> None:
    assert stock_notice(make_product(stock_quantity=stock), quantity) is notice


def test_the_largest_line_amount_passes_and_one_more_does_not() -> None:
    largest = make_purchase(make_line(1, limits.LINE_AMOUNT_MINOR_MAX))
    priced(decide(largest, make_offer(), None, TENANT, NOW))
    beyond = make_purchase(make_line(1, limits.LINE_AMOUNT_MINOR_MAX + 1))
    refusal = refusal_of(decide(beyond, make_offer(), None, TENANT, NOW))
    assert refusal.reason is RefusalReason.AMOUNT_TOO_LARGE


@given(samples.offers, st.integers(0, 100))
def test_the_expected_price_passes_and_any_other_is_refused(offer: Offer, difference: int) -> None:
    purchase = make_purchase(make_line(7, 999))
    decision = decide(purchase, offer, None, TENANT, NOW)
    if isinstance(decision, Refusal):
        assert decision.reason is RefusalReason.QUANTITY_TOO_LOW
        return
    expected = decision.price.paid_minor + difference
    asked = replace(purchase, expected_paid_minor=expected)
    again = decide(asked, offer, None, TENANT, NOW)
    assert isinstance(again, PricedLine) == (difference == 0)


@given(st.sampled_from(sorted(BREAKERS)))
def test_refusals_are_made_of_plain_values(reason: RefusalReason) -> None:
    details = refusal_of(BREAKERS[reason](PASSING).decide()).details
    assert all(type(value) in (str, int) for value in details.values())
