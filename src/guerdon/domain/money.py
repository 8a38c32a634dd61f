"""Money as integers of minor units, and the one place where a fraction of a minor unit is rounded.

Admin payloads carry decimal major units (`discountValue: 10.5`); everything inside counts minor
units. A number is read by its shortest decimal form, never by binary arithmetic: 0.29 is 29 cents.
"""

import math
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from types import MappingProxyType
from typing import Final, assert_never

from guerdon import limits
from guerdon.domain.tenants import Rounding

_CODES_BY_EXPONENT: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN "
        "BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP "
        "GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD "
        "KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN "
        "NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG "
        "SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH "
        "USD UYU UZS VES WST XCD YER ZAR ZMW"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    {code: exponent for exponent, codes in _CODES_BY_EXPONENT.items() for code in codes.split()}
)
"""ISO 4217 code to the decimals of its minor unit; equal to the table guerdon.currencies."""

PERCENT_EXPONENT: Final = 2
"""Decimals of a percentage: its smallest step is a basis point."""

BASIS_POINTS: Final = 10_000
"""Basis points of the whole."""

_DECIMAL_FORM: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_DECIMAL_TEXT_CHARACTERS_MAX: Final = 64
# Wide enough for every number that passes the form above, so that no digit is ever rounded away.
_EXACT: Final = Context(prec=1200, Emin=-2000, Emax=2000)


class NumberInvalid(ValueError):
    """A number that cannot be an amount; `description` says why, for a FieldViolation."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


def minor_from_major(
    value: object, currency: str, *, minor_max: int = limits.UNIT_PRICE_MINOR_MAX
) -> int:
    """Minor units of a decimal amount in major units of a known currency, exactly.

    Takes int, float, Decimal or decimal text, as JSON libraries give them. Raises NumberInvalid for
    anything else, NaN, infinities, a negative amount, too many decimals and more than `minor_max`.
    """
    return _scaled(value, EXPONENTS[currency], minor_max, f"an amount in {currency}")


def bps_from_percent(value: object) -> int:
    """Basis points of a percentage of 0 to 100 with at most two decimals. Raises NumberInvalid."""
    return _scaled(value, PERCENT_EXPONENT, BASIS_POINTS, "a percentage")


def major_from_minor(minor: int, currency: str) -> int | float:
    """The amount in major units as JSON writes it: the number that minor_from_major takes back.

    Exact for up to UNIT_PRICE_MINOR_MAX, as a double keeps 15 digits.
    """
    return _unscaled(minor, EXPONENTS[currency])


def percent_from_bps(bps: int) -> int | float:
    """The percentage as JSON writes it, with at most two decimals."""
    return _unscaled(bps, PERCENT_EXPONENT)


def round_ratio(numerator: int, denominator: int, rounding: Rounding) -> int:
    """The integer for numerator (>= 0) / denominator (> 0), without a float in between."""
    assert numerator >= 0
    assert denominator > 0
    quotient, remainder = divmod(numerator, denominator)
    match rounding:
        case Rounding.DOWN:
            return quotient
        case Rounding.HALF_UP:
            return quotient + (2 * remainder >= denominator)
        case Rounding.HALF_EVEN:
            up = 2 * remainder > denominator or (2 * remainder == denominator and quotient % 2 == 1)
            return quotient + up
        case _:
            assert_never(rounding)


def _scaled(value: object, exponent: int, scaled_max: int, what: str) -> int:
    number = _exact_decimal(value)
    if number < 0:
        raise NumberInvalid("must not be negative")
    scaled = number.scaleb(exponent, _EXACT)
    if scaled > scaled_max:
        raise NumberInvalid(f"must be at most {_plain(scaled_max, exponent)}")
    if scaled != scaled.to_integral_value(context=_EXACT):
        raise NumberInvalid(f"has too many decimals: {what} has at most {exponent}")
    return int(scaled)


def _exact_decimal(value: object) -> Decimal:
    text = _decimal_text(value)
    if len(text) > _DECIMAL_TEXT_CHARACTERS_MAX:
        raise NumberInvalid(f"must be written in at most {_DECIMAL_TEXT_CHARACTERS_MAX} characters")
    if not _DECIMAL_FORM.fullmatch(text):
        raise NumberInvalid("must be a decimal number")
    return Decimal(text)


def _decimal_text(value: object) -> str:
    match value:
        case bool():
            raise NumberInvalid("must be a number")
        case float() if not math.isfinite(value):
            raise NumberInvalid("must be a finite number")
        case int() if value.bit_length() > 4 * _DECIMAL_TEXT_CHARACTERS_MAX:
            # Python refuses to write out an int of thousands of digits.
            raise NumberInvalid("must not be negative" if value < 0 else "is too large")
        case int() | float():
            return repr(value)
        case Decimal():
            return str(value)
        case str():
            return value
        case _:
            raise NumberInvalid("must be a number")


def _unscaled(scaled: int, exponent: int) -> int | float:
    whole, fraction = divmod(scaled, 10**exponent)
    return float(_plain(scaled, exponent)) if fraction else whole


def _plain(scaled: int, exponent: int) -> str:
    """The decimal text of scaled / 10^exponent, without trailing zeros."""
    whole, fraction = divmod(scaled, 10**exponent)
    decimals = f"{fraction:0{exponent}d}".rstrip("0") if exponent else ""
    return f"{whole}.{decimals}" if decimals else str(whole)
