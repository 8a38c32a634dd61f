"""Every pair of statuses: the steps that the life cycle has, and no other."""

from itertools import product

import pytest

from guerdon.domain.errors import StatusTransitionIllegal
from guerdon.domain.life_cycle import check_transition
from guerdon.domain.offers import OfferStatus

LEGAL = {
    "draft": {"scheduled", "active", "cancelled"},
    "scheduled": {"active", "paused", "cancelled", "draft"},
    "active": {"paused", "expired", "cancelled"},
    "paused": {"active", "scheduled", "cancelled", "expired"},
    "expired": set(),
    "cancelled": set(),
}


@pytest.mark.parametrize(("current", "wanted"), list(product(OfferStatus, OfferStatus)))
def test_only_the_legal_steps_are_taken(current: OfferStatus, wanted: OfferStatus) -> None:
    if wanted == current or wanted in LEGAL[current]:
        check_transition(current, wanted)
        return
    with pytest.raises(StatusTransitionIllegal) as caught:
        check_transition(current, wanted)
    assert (caught.value.current, caught.value.wanted) == (current.value, wanted.value)
