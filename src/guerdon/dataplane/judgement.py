"""What the cache says of a purchase under an offer, and what Postgres makes of it.

The guards run on cached configuration, so their answer is provisional. `confirm` holds it against
one
snapshot of Postgres: the same versions there make it true.
"""

from datetime import datetime

import msgspec

from guerdon.domain import guards
from guerdon.domain.offers import Offer, OfferReference
from guerdon.domain.products import Product
from guerdon.domain.redemption import PricedLine, Purchase
from guerdon.domain.refusals import Refusal, RefusalReason
from guerdon.domain.tenants import Tenant
from guerdon.ports import Observation, OfferCatalogue, StaleVersion


class Judgement(msgspec.Struct, frozen=True):
    """A purchase, what was known when the guards looked at it, and what they said."""

    purchase: Purchase
    tenant: Tenant
    offer: Offer | None
    product: Product | None
    decision: PricedLine | Refusal


async def judge(
    catalogue: OfferCatalogue, purchase: Purchase, reference: OfferReference, now: datetime
) -> Judgement:
    """The guards' answer by what the catalogue knows."""
    tenant = await catalogue.tenant(purchase.tenant_id)
    offer = await catalogue.offer(purchase.tenant_id, reference)
    product = None
    product_id = purchase.line.product_id
    if offer is not None and product_id is not None and guards.needs_product(offer, tenant):
        product = await catalogue.product(purchase.tenant_id, product_id)
    decision = guards.decide(purchase, offer, product, tenant, now)
    return Judgement(purchase, tenant, offer, product, decision)


def confirm(judgement: Judgement, observation: Observation) -> PricedLine | Refusal | StaleVersion:
    """The first reason of the whole ladder against the purchase, as true as the snapshot is.

    A PricedLine says that nothing stood against it in the snapshot; StaleVersion, that it was
    judged
    by configuration which is not in force.
    """
    offer = judgement.offer
    known_version = None if offer is None else offer.version
    if observation.offer_version != known_version:
        return StaleVersion(observation.offer_version, None)
    product = judgement.product
    if product is not None and observation.product_facts_version != product.facts_version:
        return StaleVersion(known_version, observation.product_facts_version)
    decision = guards.decide(
        judgement.purchase, offer, product, judgement.tenant, observation.clock
    )
    if isinstance(decision, Refusal) or offer is None:
        return decision
    return refuse_use(offer, decision, observation) or decision


def refuse_use(offer: Offer, priced: PricedLine | None, seen: Observation) -> Refusal | None:
    """The guards that need Postgres, in their order: customer, order, total, product, customer
    limit."""
    details: dict[str, str | int] = {"offer_id": str(offer.offer_id)}
    if seen.customer_refusal is not None:
        return seen.customer_refusal
    if seen.order_used:
        return Refusal(RefusalReason.ORDER_ALREADY_USED, details)
    if _is_spent(seen.total_used, seen.total_limit):
        return Refusal(
            RefusalReason.TOTAL_LIMIT_REACHED, {**details, "limit": seen.total_limit or 0}
        )
    if priced is not None and _is_spent(seen.target_used, priced.target_max_uses):
        return Refusal(
            RefusalReason.PRODUCT_LIMIT_REACHED, {**details, "limit": priced.target_max_uses or 0}
        )
    if _is_spent(seen.customer_used, seen.per_customer_limit):
        return Refusal(
            RefusalReason.CUSTOMER_LIMIT_REACHED,
            {**details, "limit": seen.per_customer_limit or 0},
        )
    return None


async def forget_stale(
    catalogue: OfferCatalogue, judgement: Judgement, reference: OfferReference
) -> None:
    """Make the catalogue read anew what a stale judgement of `reference` was made by."""
    tenant_id = judgement.tenant.tenant_id
    if judgement.offer is None:
        await catalogue.forget_unknown(tenant_id, reference)
    else:
        await catalogue.forget_offer(tenant_id, judgement.offer.offer_id, judgement.offer.version)
    if judgement.product is not None:
        await catalogue.forget_product(tenant_id, judgement.product.product_id)


def _is_spent(used: int, limit: int | None) -> bool:
    return limit is not None and used >= limit
