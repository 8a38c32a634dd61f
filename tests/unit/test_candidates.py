"""Offers that nobody named: which of them apply, and which is the best."""

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from guerdon.domain.guards import rank_candidates
from guerdon.domain.identifiers import OfferId
from guerdon.domain.offers import (
    BuyGet,
    Discount,
    DiscountType,
    Offer,
    OfferStatus,
)
from tests.unit import samples
from tests.unit.samples import (
    NOW,
    make_line,
    make_offer,
    make_purchase,
    make_tenant,
    percent_off,
)

TENANT = make_tenant()
INSTANT = timedelta(microseconds=1)


def rank(*offers: Offer) -> list[OfferId]:
    candidates = rank_candidates(make_purchase(expected_paid_minor=1), offers, None, TENANT, NOW)
    return [candidate.offer.offer_id for candidate in candidates]


def numbered(number: int, **changes: object) -> Offer:
    return make_offer(offer_id=OfferId(UUID(int=number)), **changes)


def test_candidates_are_ranked_by_savings_priority_end_and_id() -> None:
    later = NOW + timedelta(days=1)
    ranked = [
        numbered(9, discount=percent_off(2000)),
        numbered(8, priority=1),
        numbered(7, ends_at=later),
        numbered(6, ends_at=later + INSTANT),
        numbered(4),
        numbered(5),
    ]
    assert rank(*reversed(ranked)) == [offer.offer_id for offer in ranked]


def test_only_offers_that_apply_by_themselves_and_save_something_are_candidates() -> None:
    assert rank(
        numbered(1, code="SAVE"),
        numbered(2, code="SAVE", auto_apply=True),
        numbered(3, discount=percent_off(0)),
        numbered(4, status=OfferStatus.PAUSED),
        numbered(5, discount=Discount(DiscountType.BUY_X_GET_Y), buy_get=BuyGet(1, 1)),
    ) == [OfferId(UUID(int=2))]


@given(st.lists(samples.offers, max_size=5))
def test_what_comes_first_saves_most(offers: list[Offer]) -> None:
    candidates = rank_candidates(make_purchase(make_line(20, 1000)), offers, None, TENANT, NOW)
    saved = [candidate.priced.price.discount_minor for candidate in candidates]
    assert saved == sorted(saved, reverse=True)
