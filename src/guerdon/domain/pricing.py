"""What one line costs under one offer. All formulas are of integers, rounded once, at the end.

The discount is what is rounded, by the tenant's rule; the paid price is the rest, so that
list == discount + paid always (requirements: "never below zero, one rounding").
"""

from typing import assert_never

from guerdon.domain.money import BASIS_POINTS, round_ratio
from guerdon.domain.offers import BuyGet, DiscountType, Offer, Target
from guerdon.domain.redemption import Line, Price
from guerdon.domain.tenants import Tenant


def price_line(offer: Offer, target: Target | None, line: Line, tenant: Tenant) -> Price:
    """The line's price in minor units of the offer's currency.

    list = quantity x unit price. The discount is the target's own where it has a price or a
    percentage (requirements, Prices: it "wins over the offer's discount"), else the offer's; at
    most `max_discount_minor`; at least 0 and at most the list price (requirements on 004:
    "discount = max(0, ...)"). Fewer pieces than `pieces_min` get no discount: the guards refuse.
    """
    list_minor = line.quantity * line.unit_price_minor
    discount_minor = round_ratio(
        _discount_parts(offer, target, line), BASIS_POINTS, tenant.rounding
    )
    if offer.max_discount_minor is not None:
        discount_minor = min(discount_minor, offer.max_discount_minor)
    discount_minor = min(discount_minor, list_minor)
    return Price(list_minor, discount_minor, list_minor - discount_minor)


def pieces_min(offer: Offer, target: Target | None) -> int:
    """Pieces without which there is no discount: one whole group, or what has to be bought and got.

    The group is the target's where the target has a price or a percentage of its own.
    """
    if target is not None and _has_own_discount(target):
        return target.offer_quantity
    if offer.buy_get is not None:
        return offer.buy_get.buy_quantity + offer.buy_get.get_quantity
    return offer.offer_quantity


def _has_own_discount(target: Target) -> bool:
    return target.fixed_price_minor is not None or target.discount_bps is not None


def _discount_parts(offer: Offer, target: Target | None, line: Line) -> int:
    """The exact discount in ten-thousandths of a minor unit, the finest a basis point makes."""
    if target is not None and target.fixed_price_minor is not None:
        return _fixed_price(line, target.offer_quantity, target.fixed_price_minor)
    if target is not None and target.discount_bps is not None:
        return _percentage(line, target.offer_quantity, target.discount_bps)
    return _offer_discount_parts(offer, line)


def _offer_discount_parts(offer: Offer, line: Line) -> int:
    discount = offer.discount
    match discount.type:
        case DiscountType.PERCENTAGE:
            assert discount.bps is not None
            return _percentage(line, offer.offer_quantity, discount.bps)
        case DiscountType.FIXED_AMOUNT:
            assert discount.minor is not None
            return _fixed_amount(line, offer.offer_quantity, discount.minor)
        case DiscountType.FIXED_PRICE:
            assert discount.minor is not None
            return _fixed_price(line, offer.offer_quantity, discount.minor)
        case DiscountType.BUY_X_GET_Y:
            assert offer.buy_get is not None
            return _buy_get(line, offer.buy_get)
        case _:
            assert_never(discount.type)


def _percentage(line: Line, group: int, bps: int) -> int:
    """groups x group x unit price x bps / 10,000.

    Pieces beyond whole groups are at list price (requirements on 004).
    """
    pieces = line.quantity // group * group
    return pieces * line.unit_price_minor * bps


def _fixed_amount(line: Line, group: int, amount_minor: int) -> int:
    """The amount, once a line, however many pieces it has (000, 003: "fixed_amount")."""
    return amount_minor * BASIS_POINTS if line.quantity >= group else 0


def _fixed_price(line: Line, group: int, price_minor: int) -> int:
    """groups x max(0, group x unit price - price): "2 for 39.95".

    Whole groups are at the special price and the rest at list price (requirements on 004); a
    special price above the list price raises nothing.
    """
    groups = line.quantity // group
    return groups * max(0, group * line.unit_price_minor - price_minor) * BASIS_POINTS


def _buy_get(line: Line, buy_get: BuyGet) -> int:
    """groups x get x unit price x get_discount_bps / 10,000.

    Groups are whole ones of buy + get pieces, at most groups_max.

    The source is 000's buy_x_get_y with the columns of offer_bogo_rules (requirements, Mapping).
    """
    groups = line.quantity // (buy_get.buy_quantity + buy_get.get_quantity)
    if buy_get.groups_max is not None:
        groups = min(groups, buy_get.groups_max)
    pieces = groups * buy_get.get_quantity
    return pieces * line.unit_price_minor * buy_get.get_discount_bps
