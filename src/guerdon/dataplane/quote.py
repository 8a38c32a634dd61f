"""Quote: what would this line cost, with the offer that is named or the best that applies?"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from guerdon.dataplane.applicable import ApplicableOffers
from guerdon.dataplane.judgement import confirm, forget_stale, judge
from guerdon.dataplane.observer import Observer
from guerdon.domain import guards
from guerdon.domain.errors import Conflict
from guerdon.domain.guards import StockNotice
from guerdon.domain.identifiers import CustomerId
from guerdon.domain.offers import Offer, OfferReference
from guerdon.domain.products import Product
from guerdon.domain.redemption import Price, PricedLine, Purchase
from guerdon.domain.refusals import Refusal, Refused
from guerdon.limits import ATTEMPTS_MAX
from guerdon.ports import OfferCatalogue, Probe, StaleVersion


class QuoteQuestion(msgspec.Struct, frozen=True):
    """What is to be priced, for whom, with which offer; None: the best that applies by itself."""

    purchase: Purchase
    customer_id: CustomerId | None
    offer: OfferReference | None


class QuoteReport(msgspec.Struct, frozen=True):
    """The price; at list price, without an offer, when none applies. It promises nothing yet.

    `refusals` say why a named offer does not apply.
    """

    price: Price
    offer: Offer | None
    refusals: tuple[Refusal, ...]
    notices: tuple[StockNotice, ...]
    evaluated_at: datetime


class Quote:
    """Prices by the cache and one snapshot of Postgres."""

    def __init__(
        self,
        catalogue: OfferCatalogue,
        observer: Observer,
        applicable: ApplicableOffers,
        now: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._observer = observer
        self._applicable = applicable
        self._now = now

    async def __call__(self, question: QuoteQuestion, seconds: float) -> QuoteReport:
        """Raises Refused for an unknown offer or a line too large, and what Observer raises."""
        if refusal := guards.refuse_amount(question.purchase.line):
            raise Refused(refusal)
        if question.offer is None:
            return await self._quote_best(question)
        return await self._quote_named(question, question.offer, seconds)

    async def _quote_named(
        self, question: QuoteQuestion, reference: OfferReference, seconds: float
    ) -> QuoteReport:
        purchase = question.purchase
        tenant_id = purchase.tenant_id
        for _ in range(ATTEMPTS_MAX):
            judgement = await judge(self._catalogue, purchase, reference, self._now())
            decision = judgement.decision
            probe = Probe(
                offer=reference,
                customer_id=question.customer_id,
                target_id=decision.target_id if isinstance(decision, PricedLine) else None,
                product_id=purchase.line.product_id,
            )
            seen = await self._observer.observe(tenant_id, probe, explain=False, seconds=seconds)
            confirmed = confirm(judgement, seen)
            if isinstance(confirmed, StaleVersion):
                await forget_stale(
                    self._catalogue, tenant_id, reference, judgement.offer, judgement.product
                )
            elif isinstance(confirmed, Refusal):
                if judgement.offer is None:
                    raise Refused(confirmed)
                return await self._report(purchase, None, None, (confirmed,), seen.clock)
            else:
                return await self._report(
                    purchase, judgement.offer, confirmed.price, (), seen.clock
                )
        raise Conflict

    async def _quote_best(self, question: QuoteQuestion) -> QuoteReport:
        """Without a customer only offers count that everyone may have and that have no rules."""
        found, evaluated_at = await self._applicable.find(
            question.purchase,
            question.customer_id,
            count=1,
            for_anyone=question.customer_id is None,
        )
        if not found:
            return await self._report(question.purchase, None, None, (), evaluated_at)
        best = found[0]
        return await self._report(
            question.purchase, best.offer, best.priced.price, (), evaluated_at
        )

    async def _report(
        self,
        purchase: Purchase,
        offer: Offer | None,
        price: Price | None,
        refusals: tuple[Refusal, ...],
        evaluated_at: datetime,
    ) -> QuoteReport:
        listed = purchase.line.quantity * purchase.line.unit_price_minor
        product = None
        if purchase.line.product_id is not None:
            product = await self._catalogue.product(purchase.tenant_id, purchase.line.product_id)
        return QuoteReport(
            price=price or Price(listed, 0, listed),
            offer=offer,
            refusals=refusals,
            notices=_notices(product, purchase.line.quantity),
            evaluated_at=evaluated_at,
        )


def _notices(product: Product | None, quantity: int) -> tuple[StockNotice, ...]:
    notice = None if product is None else guards.stock_notice(product, quantity)
    return () if notice is None else (notice,)
