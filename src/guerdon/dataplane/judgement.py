"""What the cache says of a purchase under an offer, and what Postgres makes of it.

The guards run on cached configuration, so their answer is provisional. `confirm` holds it against
one snapshot of Postgres: the same versions there make it true.
"""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from guerdon.domain import guards
from guerdon.domain.identifiers import ProductId, TenantId
from guerdon.domain.offers import Offer, OfferReference
from guerdon.domain.products import Product
from guerdon.domain.redemption import PricedLine, Purchase
from guerdon.domain.refusals import Refusal, RefusalReason, refuse_unknown, refuse_use
from guerdon.domain.tenants import Tenant
from guerdon.ports import Observation, OfferCatalogue, StaleVersion


class Judgement(msgspec.Struct, frozen=True):
    """A purchase, what was known when the guards looked at it, and what they said at that time."""

    purchase: Purchase
    tenant: Tenant
    offer: Offer | None
    product: Product | None
    decision: PricedLine | Refusal
    decided_at: datetime

    def decision_at(self, now: datetime) -> PricedLine | Refusal:
        """What the guards say at another time: the same, unless the offer's window is between."""
        offer = self.offer
        if offer is None:
            return self.decision
        if guards.window_reason(offer, now) is guards.window_reason(offer, self.decided_at):
            return self.decision
        return guards.decide(self.purchase, offer, self.product, self.tenant, now)


async def judge(
    catalogue: OfferCatalogue, purchase: Purchase, reference: OfferReference, now: datetime
) -> Judgement:
    """The guards' answer by what the catalogue knows."""
    tenant = await catalogue.tenant(purchase.tenant_id)
    offer = await catalogue.offer(purchase.tenant_id, reference)
    if offer is None:
        return Judgement(purchase, tenant, None, None, refuse_unknown(reference), now)
    product = None
    product_id = purchase.line.product_id
    if product_id is not None and guards.needs_product(offer, tenant):
        product = await catalogue.product(purchase.tenant_id, product_id)
    decision = guards.decide(purchase, offer, product, tenant, now)
    return Judgement(purchase, tenant, offer, product, decision, now)


def confirm(judgement: Judgement, observation: Observation) -> PricedLine | Refusal | StaleVersion:
    """The first reason of the whole ladder against the purchase, as true as the snapshot is.

    A PricedLine says that nothing stood against it in the snapshot; StaleVersion, that it was
    judged by configuration which is not in force.
    """
    offer, product = judgement.offer, judgement.product
    if stale := find_stale(offer, product, observation):
        return stale
    if offer is None:
        return judgement.decision
    decision = judgement.decision_at(observation.clock)
    if isinstance(decision, Refusal):
        return decision
    product_id = judgement.purchase.line.product_id
    refusals = refusals_of_use(offer, product_id, decision, observation)
    return next(refusals, decision)


def find_stale(
    offer: Offer | None, product: Product | None, seen: Observation
) -> StaleVersion | None:
    """What is in force where it is not what was judged by; `product` only where it mattered."""
    known_version = None if offer is None else offer.version
    if seen.offer_version != known_version:
        return StaleVersion(seen.offer_version, None)
    if product is not None and seen.product_facts_version != product.facts_version:
        return StaleVersion(known_version, seen.product_facts_version)
    return None


def refusals_of_use(
    offer: Offer, product_id: ProductId | None, priced: PricedLine | None, seen: Observation
) -> Iterator[Refusal]:
    """What Postgres has against it, in order: customer, order, total, product, customer limit.

    The snapshot is of the offer's version, so the limits are the offer's.
    """
    if seen.customer_refusal is not None:
        yield refuse_use(seen.customer_refusal, offer)
    if seen.order_used:
        yield refuse_use(RefusalReason.ORDER_ALREADY_USED, offer)
    if _is_spent(seen.total_used, seen.total_limit):
        yield refuse_use(RefusalReason.TOTAL_LIMIT_REACHED, offer)
    if priced is not None and _is_spent(seen.target_used, priced.target_max_uses):
        yield refuse_use(
            RefusalReason.PRODUCT_LIMIT_REACHED,
            offer,
            product_id=product_id,
            product_limit=priced.target_max_uses,
        )
    if _is_spent(seen.customer_used, seen.per_customer_limit):
        yield refuse_use(RefusalReason.CUSTOMER_LIMIT_REACHED, offer)


async def forget_stale(
    catalogue: OfferCatalogue,
    tenant_id: TenantId,
    reference: OfferReference,
    offer: Offer | None,
    product: Product | None,
) -> None:
    """Make the catalogue read anew what a stale judgement of `reference` was made by."""
    if offer is None:
        await catalogue.forget_unknown(tenant_id, reference)
    else:
        await catalogue.forget_offer(tenant_id, offer.offer_id, offer.version)
    if product is not None:
        await catalogue.forget_product(tenant_id, product.product_id)


def _is_spent(used: int, limit: int | None) -> bool:
    return limit is not None and used >= limit
