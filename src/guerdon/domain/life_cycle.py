"""Which status of an offer may follow which. Expired and cancelled are final."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from guerdon.domain.errors import StatusTransitionIllegal
from guerdon.domain.identifiers import OfferId
from guerdon.domain.offers import OfferStatus

TRANSITIONS: Final[Mapping[OfferStatus, frozenset[OfferStatus]]] = MappingProxyType(
    {
        OfferStatus.DRAFT: frozenset(
            {OfferStatus.SCHEDULED, OfferStatus.ACTIVE, OfferStatus.CANCELLED}
        ),
        OfferStatus.SCHEDULED: frozenset(
            {OfferStatus.ACTIVE, OfferStatus.PAUSED, OfferStatus.CANCELLED, OfferStatus.DRAFT}
        ),
        OfferStatus.ACTIVE: frozenset(
            {OfferStatus.PAUSED, OfferStatus.EXPIRED, OfferStatus.CANCELLED}
        ),
        OfferStatus.PAUSED: frozenset(
            {OfferStatus.ACTIVE, OfferStatus.SCHEDULED, OfferStatus.CANCELLED, OfferStatus.EXPIRED}
        ),
        OfferStatus.EXPIRED: frozenset(),
        OfferStatus.CANCELLED: frozenset(),
    }
)


def check_transition(
    current: OfferStatus, wanted: OfferStatus, offer_id: OfferId | None = None
) -> None:
    """Raises StatusTransitionIllegal for a step that the life cycle does not have.

    Staying where it is changes nothing and is legal. A new offer starts as a draft, so the status
    it is created with is a step from there.
    """
    if wanted is not current and wanted not in TRANSITIONS[current]:
        raise StatusTransitionIllegal(current.value, wanted.value, offer_id)
