"""Offers as customers are shown them: in a language, with the terms that hold for one product."""

from typing import NamedTuple

from guerdon.api.offers.v1 import offer_service_pb2 as service_pb2
from guerdon.domain import money
from guerdon.domain.guards import Candidate
from guerdon.domain.identifiers import TargetId
from guerdon.domain.offers import Discount, DiscountType, Offer, Translation
from guerdon.transport.values import write_optional_time, write_uuid


class Terms(NamedTuple):
    """A discount and the pieces it is for."""

    discount: Discount
    quantity: int


def write_applicable_offer(
    candidate: Candidate, locale: str, default_locale: str
) -> service_pb2.ApplicableOffer:
    """One offer that applies, with the price that it gives."""
    offer, price = candidate.offer, candidate.priced.price
    terms = find_terms(offer, candidate.priced.target_id)
    found_locale, text = choose_translation(offer, locale, default_locale)
    return service_pb2.ApplicableOffer(
        offer_id=write_uuid(offer.offer_id),
        code=offer.code or "",
        offer_version=offer.version,
        kind=offer.kind.value,
        title=text.title,
        description=text.description,
        locale=found_locale,
        discount_type=terms.discount.type.value,
        discount_value=_write_value(terms.discount, offer.currency),
        offer_quantity=terms.quantity,
        original_price_minor=price.list_minor,
        final_price_minor=price.paid_minor,
        savings_minor=price.discount_minor,
        end_time=write_optional_time(offer.ends_at),
    )


def choose_translation(offer: Offer, locale: str, default_locale: str) -> tuple[str, Translation]:
    """The text in the asked language, in its more general form (`ar` for `ar-EG`), in the tenant's
    default, or in any that there is."""
    by_tag = {tag.lower(): tag for tag in offer.translations}
    wanted = locale.lower()
    for tag in (wanted, wanted.partition("-")[0], default_locale.lower(), *by_tag):
        if tag in by_tag:
            return by_tag[tag], offer.translations[by_tag[tag]]
    return "", Translation(title="")


def find_terms(offer: Offer, target_id: TargetId | None) -> Terms:
    """A target's own price or percentage wins over the offer's discount."""
    target = next((t for t in offer.targets if t.target_id == target_id), None)
    if target is not None and target.fixed_price_minor is not None:
        discount = Discount(DiscountType.FIXED_PRICE, minor=target.fixed_price_minor)
        return Terms(discount, target.offer_quantity)
    if target is not None and target.discount_bps is not None:
        discount = Discount(DiscountType.PERCENTAGE, bps=target.discount_bps)
        return Terms(discount, target.offer_quantity)
    if offer.buy_get is not None:
        return Terms(offer.discount, offer.buy_get.buy_quantity + offer.buy_get.get_quantity)
    return Terms(offer.discount, offer.offer_quantity)


def _write_value(discount: Discount, currency: str) -> float:
    if discount.bps is not None:
        return money.percent_from_bps(discount.bps)
    if discount.minor is not None:
        return money.major_from_minor(discount.minor, currency)
    return 0
