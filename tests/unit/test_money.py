"""Decimal amounts to minor units and back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon import limits
from guerdon.domain.money import (
    EXPONENTS,
    NumberInvalid,
    bps_from_percent,
    major_from_minor,
    minor_from_major,
    percent_from_bps,
)

amounts = st.integers(0, limits.UNIT_PRICE_MINOR_MAX)
currencies = st.sampled_from(sorted(EXPONENTS))


@given(amounts, currencies)
def test_major_units_lead_back_to_the_same_minor_units(minor: int, currency: str) -> None:
    major = major_from_minor(minor, currency)
    assert minor_from_major(major, currency) == minor
    assert minor_from_major(float(major), currency) == minor
    assert minor_from_major(str(Decimal(minor).scaleb(-EXPONENTS[currency])), currency) == minor


@given(st.integers(0, 10_000))
def test_a_percentage_leads_back_to_the_same_basis_points(bps: int) -> None:
    assert bps_from_percent(percent_from_bps(bps)) == bps


@pytest.mark.parametrize(
    ("value", "currency", "minor"),
    [
        (0.29, "EUR", 29),
        (39.95, "EUR", 3995),
        (1.001, "KWD", 1001),
        (500.0, "JPY", 500),
        ("10.50", "NGN", 1050),
        ("1e3", "NGN", 100_000),
        ("1e-2", "NGN", 1),
        (Decimal("0.1"), "NGN", 10),
        (-0.0, "NGN", 0),
        (5000, "NGN", 500_000),
    ],
)
def test_a_decimal_amount_is_read_exactly(value: object, currency: str, minor: int) -> None:
    assert minor_from_major(value, currency) == minor


@pytest.mark.parametrize(
    ("value", "currency", "description"),
    [
        (10.005, "NGN", "has too many decimals: an amount in NGN has at most 2"),
        (0.5, "JPY", "has too many decimals: an amount in JPY has at most 0"),
        ("0.0001", "KWD", "has too many decimals: an amount in KWD has at most 3"),
        (1e-300, "NGN", "has too many decimals: an amount in NGN has at most 2"),
        (-1, "NGN", "must not be negative"),
        (-0.01, "NGN", "must not be negative"),
        (10**13 + 1, "NGN", "must be at most 10000000000000"),
        (1e300, "NGN", "must be at most 10000000000000"),
        pytest.param(10**5000, "NGN", "is too large", id="an int of 5,000 digits"),
        (float("nan"), "NGN", "must be a finite number"),
        (float("inf"), "NGN", "must be a finite number"),
        (True, "NGN", "must be a number"),
        (None, "NGN", "must be a number"),
        ([1], "NGN", "must be a number"),
        ("", "NGN", "must be a decimal number"),
        ("1_000", "NGN", "must be a decimal number"),
        ("1,5", "NGN", "must be a decimal number"),
        (" 1", "NGN", "must be a decimal number"),
        ("NaN", "NGN", "must be a decimal number"),
        ("\u0661", "NGN", "must be a decimal number"),
        (Decimal("Infinity"), "NGN", "must be a decimal number"),
        ("1e9999", "NGN", "must be a decimal number"),
        pytest.param(
            "1" * 100_000,
            "NGN",
            "must be written in at most 64 characters",
            id="a text of 100,000 digits",
        ),
    ],
)
def test_what_is_no_amount_is_refused_with_its_reason(
    value: object, currency: str, description: str
) -> None:
    with pytest.raises(NumberInvalid) as caught:
        minor_from_major(value, currency)
    assert caught.value.description == description


@pytest.mark.parametrize("value", [100.01, 900, -10, 33.333, "x", float("nan")])
def test_what_is_no_percentage_is_refused(value: object) -> None:
    with pytest.raises(NumberInvalid):
        bps_from_percent(value)


@given(st.floats(), currencies)
def test_any_double_is_an_amount_or_refused(value: float, currency: str) -> None:
    try:
        minor = minor_from_major(value, currency)
    except NumberInvalid:
        return
    assert Decimal(minor).scaleb(-EXPONENTS[currency]) == Decimal(repr(value))


@given(st.text())
def test_any_text_is_an_amount_or_refused(value: str) -> None:
    try:
        minor = minor_from_major(value, "NGN")
    except NumberInvalid:
        return
    assert minor == Decimal(value) * 100
