"""ListApplicableOffers: the offers that apply to a line by themselves, by savings."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from guerdon.dataplane.applicable import ApplicableOffers
from guerdon.domain import guards
from guerdon.domain.guards import Candidate
from guerdon.domain.identifiers import CustomerId
from guerdon.domain.redemption import Purchase
from guerdon.domain.refusals import Refused
from guerdon.ports import OfferCatalogue


class ApplicableReport(msgspec.Struct, frozen=True):
    """The offers with their prices. `default_locale` is the tenant's, for offers without the
    asked language; `evaluated` tells whether audience, rules and limits of a customer were."""

    candidates: Sequence[Candidate]
    default_locale: str
    evaluated: bool
    evaluated_at: datetime


class ListApplicableOffers:
    """See ApplicableOffers.find."""

    def __init__(self, catalogue: OfferCatalogue, applicable: ApplicableOffers) -> None:
        self._catalogue = catalogue
        self._applicable = applicable

    async def __call__(
        self, purchase: Purchase, customer_id: CustomerId | None, count: int
    ) -> ApplicableReport:
        """At most `count` offers: largest savings, then priority, earlier end, id.

        Raises Refused for a line too large, which no offer could price.
        """
        if refusal := guards.refuse_amount(purchase.line):
            raise Refused(refusal)
        tenant = await self._catalogue.tenant(purchase.tenant_id)
        found, evaluated_at = await self._applicable.find(
            purchase, customer_id, count=count, for_anyone=False
        )
        return ApplicableReport(found, tenant.default_locale, customer_id is not None, evaluated_at)
