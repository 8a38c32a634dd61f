"""A line's price: what always holds, and the arithmetic of each discount type on round examples."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.domain.money import round_ratio
from guerdon.domain.offers import BuyGet, Discount, DiscountType, Offer, Target
from guerdon.domain.pricing import pieces_min, price_line
from guerdon.domain.redemption import Line
from guerdon.domain.tenants import Rounding, Tenant
from tests.unit import samples
from tests.unit.samples import PRODUCT_ID, make_line, make_offer, make_tenant, percent_off

TENANT = make_tenant()


@given(samples.offers, samples.targets, samples.lines, samples.tenants)
def test_list_is_discount_plus_paid_and_none_is_negative(
    offer: Offer, target: Target | None, line: Line, tenant: Tenant
) -> None:
    price = price_line(offer, target, line, tenant)
    assert price.list_minor == line.quantity * line.unit_price_minor
    assert price.list_minor == price.discount_minor + price.paid_minor
    assert price.discount_minor >= 0
    assert price.paid_minor >= 0


@given(samples.offers, samples.targets, samples.lines, samples.tenants)
def test_the_discount_never_exceeds_the_maximum(
    offer: Offer, target: Target | None, line: Line, tenant: Tenant
) -> None:
    price = price_line(offer, target, line, tenant)
    assert offer.max_discount_minor is None or price.discount_minor <= offer.max_discount_minor


@given(samples.offers, samples.targets, samples.lines, samples.tenants)
def test_fewer_pieces_than_the_least_get_no_discount(
    offer: Offer, target: Target | None, line: Line, tenant: Tenant
) -> None:
    price = price_line(offer, target, line, tenant)
    assert line.quantity >= pieces_min(offer, target) or price.discount_minor == 0


@given(samples.percentages, samples.groups, samples.lines, samples.tenants)
def test_a_percentage_is_rounded_once(bps: int, group: int, line: Line, tenant: Tenant) -> None:
    offer = make_offer(discount=percent_off(bps), offer_quantity=group)
    in_groups = line.quantity - line.quantity % group
    exact = Fraction(in_groups * line.unit_price_minor * bps, 10_000)
    discount_minor = price_line(offer, None, line, tenant).discount_minor
    assert discount_minor == round_ratio(exact.numerator, exact.denominator, tenant.rounding)
    assert abs(discount_minor - exact) < 1


@given(samples.offers, samples.targets, samples.lines, samples.tenants)
def test_one_more_piece_never_costs_less_where_every_piece_has_the_same_terms(
    offer: Offer, target: Target | None, line: Line, tenant: Tenant
) -> None:
    plain_percentage = make_offer(discount=offer.discount)
    if offer.discount.type is not DiscountType.PERCENTAGE:
        plain_percentage = make_offer(discount=percent_off(10_000 - line.quantity % 10_001))
    more = make_line(line.quantity + 1, line.unit_price_minor)
    paid = price_line(plain_percentage, None, line, tenant).paid_minor
    assert price_line(plain_percentage, None, more, tenant).paid_minor >= paid


@given(samples.buy_gets, samples.lines, samples.tenants)
def test_buy_get_takes_off_at_most_the_got_pieces(
    buy_get: BuyGet, line: Line, tenant: Tenant
) -> None:
    offer = make_offer(discount=Discount(DiscountType.BUY_X_GET_Y), buy_get=buy_get)
    groups = line.quantity // (buy_get.buy_quantity + buy_get.get_quantity)
    price = price_line(offer, None, line, tenant)
    assert price.discount_minor <= groups * buy_get.get_quantity * line.unit_price_minor


@pytest.mark.parametrize(
    ("rounding", "discount_minor"),
    [(Rounding.HALF_UP, 3), (Rounding.HALF_EVEN, 2), (Rounding.DOWN, 2)],
)
def test_half_a_minor_unit_goes_where_the_tenant_says(
    rounding: Rounding, discount_minor: int
) -> None:
    price = price_line(make_offer(), None, make_line(1, 25), make_tenant(rounding=rounding))
    assert price.discount_minor == discount_minor


@pytest.mark.parametrize(
    ("discount", "quantity", "discount_minor"),
    [
        (percent_off(10_000), 3, 30_000),
        (percent_off(1), 1, 1),
        (Discount(DiscountType.FIXED_AMOUNT, minor=2500), 1, 2500),
        (Discount(DiscountType.FIXED_AMOUNT, minor=2500), 4, 2500),
        (Discount(DiscountType.FIXED_AMOUNT, minor=10_001), 1, 10_000),
        (Discount(DiscountType.FIXED_PRICE, minor=9000), 3, 3000),
        (Discount(DiscountType.FIXED_PRICE, minor=0), 3, 30_000),
        (Discount(DiscountType.FIXED_PRICE, minor=10_001), 3, 0),
    ],
)
def test_each_type_of_discount(discount: Discount, quantity: int, discount_minor: int) -> None:
    price = price_line(make_offer(discount=discount), None, make_line(quantity, 10_000), TENANT)
    assert price.discount_minor == discount_minor


@pytest.mark.parametrize(
    ("target", "discount_minor"),
    [
        (Target(product_id=PRODUCT_ID), 4000),
        (Target(product_id=PRODUCT_ID, fixed_price_minor=7000), 12_000),
        (Target(product_id=PRODUCT_ID, fixed_price_minor=15_000, offer_quantity=2), 10_000),
        (Target(product_id=PRODUCT_ID, discount_bps=2500), 10_000),
        (Target(product_id=PRODUCT_ID, discount_bps=2500, offer_quantity=3), 7500),
        (Target(product_id=PRODUCT_ID, discount_bps=0), 0),
    ],
)
def test_a_targets_own_terms_win_over_the_offers(target: Target, discount_minor: int) -> None:
    price = price_line(make_offer(), target, make_line(4, 10_000), TENANT)
    assert price.discount_minor == discount_minor


@pytest.mark.parametrize(
    ("buy_get", "quantity", "discount_minor"),
    [
        (BuyGet(2, 1), 2, 0),
        (BuyGet(2, 1), 3, 1000),
        (BuyGet(2, 1), 5, 1000),
        (BuyGet(2, 1), 6, 2000),
        (BuyGet(2, 1, groups_max=1), 6, 1000),
        (BuyGet(1, 1, get_discount_bps=5000), 4, 1000),
    ],
)
def test_buy_x_get_y_counts_whole_groups(
    buy_get: BuyGet, quantity: int, discount_minor: int
) -> None:
    offer = make_offer(discount=Discount(DiscountType.BUY_X_GET_Y), buy_get=buy_get)
    price = price_line(offer, None, make_line(quantity, 1000), TENANT)
    assert price.discount_minor == discount_minor


@given(st.integers(0, 10**20), st.integers(1, 10**10), st.sampled_from(Rounding))
def test_rounding_moves_by_at_most_half_or_down(
    numerator: int, denominator: int, rounding: Rounding
) -> None:
    difference = round_ratio(numerator, denominator, rounding) - Fraction(numerator, denominator)
    if rounding is Rounding.DOWN:
        assert -1 < difference <= 0
    else:
        assert abs(difference) <= Fraction(1, 2)
