"""The guards that need only the purchase and a snapshot: offer, product, tenant and the time.

They run in the order of RefusalReason, from OFFER_NOT_FOUND to PRICE_CHANGED, so of several reasons
the caller hears the first. What they say is provisional: Postgres confirms a refusal before it is
sent, and the locking function compares the versions of offer and product that a price was made by.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

import msgspec

from guerdon import limits
from guerdon.domain import pricing
from guerdon.domain.offers import (
    REDEEMABLE_STATUSES,
    Offer,
    ProductScope,
    ServiceType,
    Target,
)
from guerdon.domain.products import Product, ProductKind
from guerdon.domain.redemption import Line, Price, PricedLine, Purchase
from guerdon.domain.refusals import Refusal, RefusalReason, refuse, refuse_use
from guerdon.domain.tenants import PriceSource, Tenant


class StockNotice(StrEnum):
    """What a quote says of a product's stock; it limits nothing by itself (requirements, Stock)."""

    LOW_STOCK = "LOW_STOCK"
    OUT_OF_STOCK = "OUT_OF_STOCK"


class Candidate(msgspec.Struct, frozen=True):
    """An offer that nobody named and that the guards let pass, with the price it gives."""

    offer: Offer
    priced: PricedLine


def decide(
    purchase: Purchase,
    offer: Offer,
    product: Product | None,
    tenant: Tenant,
    now: datetime,
) -> PricedLine | Refusal:
    """The line's price under the offer, or the first reason against it.

    `product` is read only where `needs_product` says so; None then counts as an unknown product. An
    inactive product is covered by no offer whose product facts matter.
    """
    if offer.deleted:
        return refuse(RefusalReason.OFFER_NOT_FOUND, offer)
    facts = _relevant_facts(purchase.line, offer, product, tenant)
    return refuse_offer(offer, purchase.service_type, purchase.currency, now) or _decide_line(
        purchase, offer, facts, tenant
    )


def refuse_offer(
    offer: Offer, service_type: ServiceType, currency: str | None, now: datetime
) -> Refusal | None:
    """The first reason against the offer whatever is bought; without a currency that is not
    judged."""
    return _refuse_state(offer, now) or _refuse_terms(offer, service_type, currency)


def window_reason(offer: Offer, now: datetime) -> RefusalReason | None:
    """What the time says against the offer, which is all that `decide` reads of it."""
    if offer.starts_at is not None and now < offer.starts_at:
        return RefusalReason.OFFER_NOT_STARTED
    if offer.ends_at is not None and now >= offer.ends_at:
        return RefusalReason.OFFER_ENDED
    return None


def needs_product(offer: Offer, tenant: Tenant) -> bool:
    """Whether the facts of the line's product matter for the decision or the price."""
    return (
        tenant.stock_limits
        or tenant.price_source is PriceSource.CATALOGUE
        or offer.product_scope in (ProductScope.OPERATOR_PRODUCTS, ProductScope.SUPPLIER_PRODUCTS)
        or offer.lists_suppliers
    )


def rank_candidates(
    purchase: Purchase,
    offers: Iterable[Offer],
    product: Product | None,
    tenant: Tenant,
    now: datetime,
) -> list[Candidate]:
    """The offers that apply by themselves and give this line a discount, the best first.

    Best is: largest discount, then higher priority, then earlier end, then lower id (requirements,
    Several offers). Whether the customer may have them is for Postgres to say: the first that it
    lets pass is the one. An expected price does not narrow the choice.
    """
    unnamed = msgspec.structs.replace(purchase, expected_paid_minor=None)
    candidates = _candidates(unnamed, offers, product, tenant, now)
    return sorted(candidates, key=_rank)


def stock_notice(product: Product, quantity: int) -> StockNotice | None:
    """What a quote tells of the product's stock for so many pieces; None: enough, or not known."""
    stock = product.stock_quantity
    if stock is None:
        return None
    if stock < quantity:
        return StockNotice.OUT_OF_STOCK
    return StockNotice.LOW_STOCK if stock < limits.LOW_STOCK_PIECES else None


def refuse_amount(line: Line) -> Refusal | None:
    """Refuses a line whose list price is more than LINE_AMOUNT_MINOR_MAX."""
    amount_max = limits.LINE_AMOUNT_MINOR_MAX
    if line.quantity * line.unit_price_minor <= amount_max:
        return None
    return Refusal(RefusalReason.AMOUNT_TOO_LARGE, {"amount_max_minor": amount_max})


def _relevant_facts(
    line: Line, offer: Offer, product: Product | None, tenant: Tenant
) -> Product | None:
    """The facts to decide by: None where they do not matter or the line names no product."""
    if line.product_id is None or not needs_product(offer, tenant):
        return None
    return product if product is not None else Product(line.product_id, facts_version=0)


def _refuse_state(offer: Offer, now: datetime) -> Refusal | None:
    if offer.status not in REDEEMABLE_STATUSES:
        return refuse_use(RefusalReason.OFFER_NOT_ACTIVE, offer)
    reason = window_reason(offer, now)
    return None if reason is None else refuse_use(reason, offer)


def _refuse_terms(offer: Offer, service_type: ServiceType, currency: str | None) -> Refusal | None:
    if ServiceType.BOTH not in (service_type, offer.service_type) and (
        service_type is not offer.service_type
    ):
        return refuse(
            RefusalReason.SERVICE_TYPE_NOT_COVERED,
            offer,
            requested=service_type.value,
            covered=offer.service_type.value,
        )
    if currency is not None and currency != offer.currency:
        return refuse(
            RefusalReason.CURRENCY_NOT_COVERED, offer, requested=currency, covered=offer.currency
        )
    return None


def _decide_line(
    purchase: Purchase, offer: Offer, facts: Product | None, tenant: Tenant
) -> PricedLine | Refusal:
    line = purchase.line
    targets = _matching_targets(offer, line, facts)
    if not _is_covered(offer, facts, targets):
        product = {} if line.product_id is None else {"product_id": str(line.product_id)}
        return refuse(RefusalReason.PRODUCT_NOT_COVERED, offer, **product)
    choice = _choose_target(offer, targets, line, tenant)
    if isinstance(choice, Refusal):
        return choice
    return (
        _refuse_stock(line, offer, facts, tenant)
        or refuse_amount(line)
        or _refuse_unit_price(purchase, offer, facts, tenant)
        or _refuse_changed_price(purchase, offer, choice.price)
        or _with_facts_version(choice, facts)
    )


def _with_facts_version(priced: PricedLine, facts: Product | None) -> PricedLine:
    if facts is None:
        return priced
    return msgspec.structs.replace(priced, product_facts_version=facts.facts_version)


def _matching_targets(offer: Offer, line: Line, facts: Product | None) -> list[Target]:
    """The offer's targets for the line's product, of the best rank that has any.

    A product listed itself wins over a supplier's product, and that over a supplier.
    """
    if not offer.targets or line.product_id is None:
        return []
    own = offer.targets_by_id.get(line.product_id)
    if own is not None and own.product_id is not None:
        return [own]
    if facts is None:
        return []
    listed = (offer.targets_by_id.get(link.supplier_product_id) for link in facts.suppliers)
    links = [target for target in listed if target and target.supplier_product_id is not None]
    if links:
        return links
    suppliers = {link.supplier_id for link in facts.suppliers}
    listed = (offer.targets_by_id.get(supplier_id) for supplier_id in suppliers)
    return [target for target in listed if target and target.supplier_id is not None]


def _is_covered(offer: Offer, facts: Product | None, targets: Sequence[Target]) -> bool:
    if facts is not None and not facts.active:
        return False
    match offer.product_scope:
        case ProductScope.ALL:
            return True
        case ProductScope.LISTED:
            return bool(targets)
        case ProductScope.OPERATOR_PRODUCTS:
            return facts is not None and facts.kind is ProductKind.OPERATOR
        case ProductScope.SUPPLIER_PRODUCTS:
            return facts is not None and bool(facts.suppliers)
        case _:
            assert_never(offer.product_scope)


def _choose_target(
    offer: Offer, targets: Sequence[Target], line: Line, tenant: Tenant
) -> PricedLine | Refusal:
    """Of targets of one rank, that which lets the quantity pass and is cheapest; then the lower id.

    When none lets it pass: the refusal that is first in the order of reasons, then of the lower id.
    """
    if len(targets) <= 1:
        return _price_target(offer, targets[0] if targets else None, line, tenant)
    by_id = sorted(targets, key=lambda target: target.target_id.int)
    answers = [_price_target(offer, target, line, tenant) for target in by_id]
    prices = [answer for answer in answers if isinstance(answer, PricedLine)]
    if prices:
        return min(prices, key=lambda priced: priced.price.paid_minor)
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    return min(refusals, key=lambda refusal: refusal.reason)


def _price_target(
    offer: Offer, target: Target | None, line: Line, tenant: Tenant
) -> PricedLine | Refusal:
    refusal = _refuse_quantity(offer, target, line)
    if refusal is not None:
        return refusal
    price = pricing.price_line(offer, target, line, tenant)
    if target is None:
        return PricedLine(price)
    return PricedLine(price, target.target_id, target.max_uses)


def _refuse_quantity(offer: Offer, target: Target | None, line: Line) -> Refusal | None:
    quantity = line.quantity
    quantity_min = pricing.pieces_min(offer, target)
    if quantity < quantity_min:
        return refuse(
            RefusalReason.QUANTITY_TOO_LOW, offer, quantity=quantity, quantity_min=quantity_min
        )
    quantity_max = None if target is None else target.max_quantity_per_purchase
    if quantity_max is not None and quantity > quantity_max:
        return refuse(
            RefusalReason.QUANTITY_TOO_HIGH, offer, quantity=quantity, quantity_max=quantity_max
        )
    return None


def _refuse_stock(
    line: Line, offer: Offer, facts: Product | None, tenant: Tenant
) -> Refusal | None:
    if not tenant.stock_limits or facts is None or facts.stock_quantity is None:
        return None
    if stock_notice(facts, line.quantity) is not StockNotice.OUT_OF_STOCK:
        return None
    return refuse(
        RefusalReason.OUT_OF_STOCK,
        offer,
        product_id=str(facts.product_id),
        quantity=line.quantity,
        stock_quantity=facts.stock_quantity,
    )


def _refuse_unit_price(
    purchase: Purchase, offer: Offer, facts: Product | None, tenant: Tenant
) -> Refusal | None:
    """Refuses a price other than the catalogue's where that is the list price.

    A product without a list price, and a line without a product, have nothing to compare with.
    """
    if tenant.price_source is not PriceSource.CATALOGUE:
        return None
    asked = (purchase.line.unit_price_minor, purchase.currency)
    details: dict[str, str | int] = {"unit_price_minor": asked[0], "currency": asked[1]}
    if facts is not None and facts.list_price_minor is not None and facts.currency is not None:
        if asked == (facts.list_price_minor, facts.currency):
            return None
        details["catalogue_price_minor"] = facts.list_price_minor
        details["catalogue_currency"] = facts.currency
    return refuse(RefusalReason.PRICE_MISMATCH, offer, **details)


def _refuse_changed_price(purchase: Purchase, offer: Offer, price: Price) -> Refusal | None:
    expected = purchase.expected_paid_minor
    if expected is None or expected == price.paid_minor:
        return None
    return refuse(
        RefusalReason.PRICE_CHANGED,
        offer,
        expected_paid_minor=expected,
        paid_minor=price.paid_minor,
    )


def _candidates(
    purchase: Purchase,
    offers: Iterable[Offer],
    product: Product | None,
    tenant: Tenant,
    now: datetime,
) -> Iterator[Candidate]:
    for offer in offers:
        if not offer.applies_by_itself:
            continue
        decision = decide(purchase, offer, product, tenant, now)
        if isinstance(decision, PricedLine) and decision.price.discount_minor > 0:
            yield Candidate(offer, decision)


def _rank(candidate: Candidate) -> tuple[int, int, datetime, int]:
    offer = candidate.offer
    ends_at = offer.ends_at or datetime.max.replace(tzinfo=UTC)
    return -candidate.priced.price.discount_minor, -offer.priority, ends_at, offer.offer_id.int
