"""Which offers apply to a line by themselves, the best first: for Quote and
ListApplicableOffers."""

from collections.abc import Callable, Sequence
from datetime import datetime

from guerdon.dataplane.judgement import Judgement, confirm, forget_stale
from guerdon.dataplane.observer import Observer
from guerdon.domain import guards
from guerdon.domain.guards import Candidate
from guerdon.domain.identifiers import CustomerId
from guerdon.domain.offers import AudienceMode, Offer, OfferReference
from guerdon.domain.products import Product
from guerdon.domain.redemption import PricedLine, Purchase
from guerdon.domain.tenants import Tenant
from guerdon.limits import APPLICABLE_CANDIDATES_MAX, ATTEMPTS_MAX
from guerdon.ports import Observation, OfferCatalogue, Probe, StaleVersion


class ApplicableOffers:
    """Ranks the tenant's automatic offers by the cache and asks Postgres of the best of them."""

    def __init__(
        self, catalogue: OfferCatalogue, observer: Observer, now: Callable[[], datetime]
    ) -> None:
        self._catalogue = catalogue
        self._observer = observer
        self._now = now

    async def find(
        self, purchase: Purchase, customer_id: CustomerId | None, *, count: int, for_anyone: bool
    ) -> tuple[Sequence[Candidate], datetime]:
        """At most `count` offers that pass, and when they were looked at.

        Of all candidates, the APPLICABLE_CANDIDATES_MAX with the largest savings are asked about.
        Without a customer audience and rules are not evaluated; `for_anyone` then keeps only the
        offers that have neither.
        """
        tenant = await self._catalogue.tenant(purchase.tenant_id)
        for attempt in range(ATTEMPTS_MAX):
            product = await self._find_product(purchase)
            judgements = await self._rank(purchase, product, tenant, for_anyone=for_anyone)
            observations = await self._observer.observe_all(
                purchase.tenant_id,
                [_probe(judgement, customer_id) for judgement in judgements],
            )
            passed, stale = _sift(judgements, observations)
            if not stale or attempt == ATTEMPTS_MAX - 1:
                break
            for offer in stale:
                reference = OfferReference(offer_id=offer.offer_id)
                await forget_stale(self._catalogue, purchase.tenant_id, reference, offer, product)
        evaluated_at = observations[0].clock if observations else self._now()
        return passed[:count], evaluated_at

    async def _find_product(self, purchase: Purchase) -> Product | None:
        if purchase.line.product_id is None:
            return None
        return await self._catalogue.product(purchase.tenant_id, purchase.line.product_id)

    async def _rank(
        self, purchase: Purchase, product: Product | None, tenant: Tenant, *, for_anyone: bool
    ) -> Sequence[Judgement]:
        offers = await self._catalogue.automatic_offers(purchase.tenant_id)
        if for_anyone:
            offers = [offer for offer in offers if _is_for_anyone(offer)]
        now = self._now()
        ranked = guards.rank_candidates(purchase, offers, product, tenant, now)
        return [
            Judgement(
                purchase,
                tenant,
                candidate.offer,
                product if guards.needs_product(candidate.offer, tenant) else None,
                candidate.priced,
                now,
            )
            for candidate in ranked[:APPLICABLE_CANDIDATES_MAX]
        ]


def _is_for_anyone(offer: Offer) -> bool:
    return offer.audience_mode is AudienceMode.EVERYONE and not offer.rules


def _probe(judgement: Judgement, customer_id: CustomerId | None) -> Probe:
    assert judgement.offer is not None
    assert isinstance(judgement.decision, PricedLine)
    return Probe(
        offer=OfferReference(offer_id=judgement.offer.offer_id),
        customer_id=customer_id,
        target_id=judgement.decision.target_id,
        product_id=judgement.purchase.line.product_id,
    )


def _sift(
    judgements: Sequence[Judgement], observations: Sequence[Observation]
) -> tuple[list[Candidate], list[Offer]]:
    """The candidates that pass, in their order, and the offers that were judged stale."""
    passed: list[Candidate] = []
    stale: list[Offer] = []
    for judgement, seen in zip(judgements, observations, strict=True):
        assert judgement.offer is not None
        confirmed = confirm(judgement, seen)
        if isinstance(confirmed, StaleVersion):
            stale.append(judgement.offer)
        elif isinstance(confirmed, PricedLine):
            passed.append(Candidate(judgement.offer, confirmed))
    return passed, stale
