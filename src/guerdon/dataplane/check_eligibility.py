"""CheckEligibility: may this customer use this offer now, and how does each rule judge?"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from guerdon.dataplane.judgement import find_stale, forget_stale, refusals_of_use
from guerdon.dataplane.observer import Observer
from guerdon.domain import guards
from guerdon.domain.errors import Conflict
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.domain.offers import EligibilityLogic, Offer, OfferReference, ServiceType
from guerdon.domain.products import Product
from guerdon.domain.redemption import Line, PricedLine, Purchase
from guerdon.domain.refusals import Refusal, Refused, refuse_unknown
from guerdon.domain.tenants import Tenant
from guerdon.limits import ATTEMPTS_MAX
from guerdon.ports import Observation, OfferCatalogue, Probe, RuleResult


class EligibilityQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for which offer. Without a line neither product, quantity nor price is judged."""

    tenant_id: TenantId
    offer: OfferReference
    customer_id: CustomerId
    line: Line | None = None
    currency: str | None = None
    service_type: ServiceType = ServiceType.BOTH


class EligibilityReport(msgspec.Struct, frozen=True):
    """`refusals`: the first reason of the offer's configuration, and every one of the customer
    and the limits, in their order. Eligible when there is none. All rules are judged."""

    offer_id: OfferId
    offer_version: int
    refusals: tuple[Refusal, ...]
    eligibility_logic: EligibilityLogic
    rule_results: tuple[RuleResult, ...]
    evaluated_at: datetime


class CheckEligibility:
    """Answers by one snapshot of Postgres; promises nothing for the moment after."""

    def __init__(
        self, catalogue: OfferCatalogue, observer: Observer, now: Callable[[], datetime]
    ) -> None:
        self._catalogue = catalogue
        self._observer = observer
        self._now = now

    async def __call__(self, question: EligibilityQuestion, seconds: float) -> EligibilityReport:
        """Raises Refused for an unknown offer, and what Observer raises."""
        tenant = await self._catalogue.tenant(question.tenant_id)
        for _ in range(ATTEMPTS_MAX):
            offer = await self._catalogue.offer(question.tenant_id, question.offer)
            product = await self._find_product(question, offer, tenant)
            now = self._now()
            decision = None
            if offer is not None:
                decision = _decide(question, offer, product, tenant, now)
            seen = await self._observer.observe(
                question.tenant_id, _probe(question, decision), explain=True, seconds=seconds
            )
            if find_stale(offer, product, seen):
                await forget_stale(
                    self._catalogue, question.tenant_id, question.offer, offer, product
                )
            elif offer is None:
                raise Refused(refuse_unknown(question.offer))
            else:
                if guards.window_reason(offer, now) is not guards.window_reason(offer, seen.clock):
                    decision = _decide(question, offer, product, tenant, seen.clock)
                return _report(question, offer, decision, seen)
        raise Conflict

    async def _find_product(
        self, question: EligibilityQuestion, offer: Offer | None, tenant: Tenant
    ) -> Product | None:
        """The facts of the line's product, where they matter."""
        if offer is None or question.line is None or question.line.product_id is None:
            return None
        if not guards.needs_product(offer, tenant):
            return None
        return await self._catalogue.product(question.tenant_id, question.line.product_id)


def _decide(
    question: EligibilityQuestion,
    offer: Offer,
    product: Product | None,
    tenant: Tenant,
    now: datetime,
) -> PricedLine | Refusal | None:
    if question.line is None:
        return guards.refuse_offer(offer, question.service_type, question.currency, now)
    purchase = Purchase(
        tenant_id=question.tenant_id,
        line=question.line,
        currency=question.currency or offer.currency,
        service_type=question.service_type,
    )
    return guards.decide(purchase, offer, product, tenant, now)


def _probe(question: EligibilityQuestion, decision: PricedLine | Refusal | None) -> Probe:
    return Probe(
        offer=question.offer,
        customer_id=question.customer_id,
        target_id=decision.target_id if isinstance(decision, PricedLine) else None,
        product_id=question.line.product_id if question.line else None,
    )


def _report(
    question: EligibilityQuestion,
    offer: Offer,
    decision: PricedLine | Refusal | None,
    seen: Observation,
) -> EligibilityReport:
    priced = decision if isinstance(decision, PricedLine) else None
    refusals = [decision] if isinstance(decision, Refusal) else []
    product_id = question.line.product_id if question.line else None
    return EligibilityReport(
        offer_id=offer.offer_id,
        offer_version=offer.version,
        refusals=(*refusals, *refusals_of_use(offer, product_id, priced, seen)),
        eligibility_logic=offer.eligibility_logic,
        rule_results=seen.rule_results,
        evaluated_at=seen.clock,
    )
