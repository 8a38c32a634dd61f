"""Of each reason a purchase that is refused for it, and by which roads the no can be heard."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.domain.identifiers import OfferId, ProductId, TenantId
from guerdon.domain.offers import (
    AudienceMode,
    BuyGet,
    Discount,
    DiscountType,
    OfferKind,
    OfferStatus,
    ProductScope,
    Rule,
    ServiceType,
    Target,
)
from guerdon.domain.redemption import Line, RedeemCommand
from guerdon.domain.refusals import RefusalReason as Reason
from guerdon.limits import LINE_AMOUNT_MINOR_MAX
from tests.dataplane.engine import SECONDS, Engine, command
from tests.support import control, facts
from tests.support.ledger import insert_tenant, new_id

MINUTE = timedelta(minutes=1)
PRODUCT = ProductId(new_id())
# High enough for every case but those of the limit itself. There is one, so that Redis is asked.
TOTAL_LIMIT = 5

# Roads beside the confirmation of Redeem, by which every refusal can be heard.
LOCKED, CHECKED, QUOTED = "locked", "checked", "quoted"
OF_THE_LINE = frozenset({CHECKED, QUOTED})
OF_THE_USE = frozenset({LOCKED, CHECKED, QUOTED})
OF_THE_REQUEST = frozenset({LOCKED})


@dataclass
class Site:
    """A database, and an engine to bring it to where a purchase is refused."""

    database: Database
    owner: asyncpg.Connection
    engine: Engine
    tenant: TenantId

    async def new_tenant(self, **columns: Any) -> None:
        self.tenant = await insert_tenant(self.owner, **columns)

    async def new_offer(self, **fields: Any) -> OfferId:
        offer = control.draft(self.tenant, **{"total_limit": TOTAL_LIMIT, **fields})
        await PostgresOffers(self.database).create(offer, "test")
        return offer.offer.offer_id

    async def push_product(self, **fields: Any) -> None:
        product = facts.product(PRODUCT, currency="NGN", **fields)
        await PostgresFacts(self.database).upsert_products(self.tenant, [product])

    async def ask(self, offer_fields: dict[str, Any], **fields: Any) -> RedeemCommand:
        """A purchase under a new offer."""
        return command(self.tenant, await self.new_offer(**offer_fields), **fields)

    async def use_up(self, offer_fields: dict[str, Any], **same: Any) -> RedeemCommand:
        """A purchase like one that the new offer granted before, with another request id."""
        asked = await self.ask(offer_fields, **same)
        first = on_product(asked) if "targets" in offer_fields else asked
        await self.engine.redeem(first, SECONDS)
        again = command(self.tenant, named(asked), **same)
        return on_product(again) if "targets" in offer_fields else again


class Case(NamedTuple):
    """`ask` brings the site to where its purchase is refused. `missing` are the optional keys that
    are not told then; `clock_offset` makes a server's own clock believe that the window is open."""

    reason: Reason
    ask: Callable[[Site], Awaitable[RedeemCommand]]
    roads: frozenset[str]
    missing: frozenset[str] = frozenset()
    clock_offset: timedelta = timedelta()


def named(asked: RedeemCommand) -> OfferId:
    assert asked.offer.offer_id is not None
    return asked.offer.offer_id


def on_product(asked: RedeemCommand, product_id: ProductId = PRODUCT) -> RedeemCommand:
    line = asked.line
    bought = Line(product_id, line.quantity, line.unit_price_minor)
    return msgspec.structs.replace(asked, line=bought)


def listed(**terms: Any) -> dict[str, Any]:
    target = Target(product_id=PRODUCT, **terms)
    return {"product_scope": ProductScope.LISTED, "targets": (target,)}


async def revoked_before(site: Site) -> RedeemCommand:
    asked = await site.ask({})
    await site.engine.revoke(site.tenant, asked.request_id, "payment failed")
    return asked


async def reused(site: Site) -> RedeemCommand:
    asked = await site.ask({})
    await site.engine.redeem(asked, SECONDS)
    line = msgspec.structs.replace(asked.line, quantity=2)
    return msgspec.structs.replace(asked, line=line)


async def unknown_by_id(site: Site) -> RedeemCommand:
    return command(site.tenant, OfferId(new_id()))


async def unknown_by_code(site: Site) -> RedeemCommand:
    return command(site.tenant, "save10")


async def paused(site: Site) -> RedeemCommand:
    return await site.ask({"status": OfferStatus.PAUSED})


async def too_early(site: Site) -> RedeemCommand:
    return await site.ask({"starts_at": datetime.now(UTC) + 5 * MINUTE})


async def too_late(site: Site) -> RedeemCommand:
    return await site.ask({"ends_at": datetime.now(UTC) - 5 * MINUTE})


async def picked_up(site: Site) -> RedeemCommand:
    asked = await site.ask({"service_type": ServiceType.DELIVERY})
    return msgspec.structs.replace(asked, service_type=ServiceType.PICKUP)


async def foreign(site: Site) -> RedeemCommand:
    return await site.ask({}, currency="USD")


async def another_product(site: Site) -> RedeemCommand:
    return on_product(await site.ask(listed()), ProductId(new_id()))


async def no_product(site: Site) -> RedeemCommand:
    return await site.ask(listed())


async def too_few(site: Site) -> RedeemCommand:
    discount = Discount(DiscountType.BUY_X_GET_Y)
    bogo = {"kind": OfferKind.BOGO, "discount": discount, "buy_get": BuyGet(2, 1)}
    return await site.ask(bogo)


async def too_many(site: Site) -> RedeemCommand:
    return on_product(await site.ask(listed(max_quantity_per_purchase=2), quantity=3))


async def out_of_stock(site: Site) -> RedeemCommand:
    await site.new_tenant(stock_limits=True)
    await site.push_product(stock_quantity=1)
    return on_product(await site.ask({}, quantity=2))


async def too_dear(site: Site) -> RedeemCommand:
    return await site.ask({}, quantity=10, unit_price_minor=LINE_AMOUNT_MINOR_MAX)


async def mispriced(site: Site) -> RedeemCommand:
    await site.new_tenant(price_source="catalogue")
    await site.push_product(list_price_minor=999)
    return on_product(await site.ask({}))


async def unpriced(site: Site) -> RedeemCommand:
    await site.new_tenant(price_source="catalogue")
    return await site.ask({})


async def repriced(site: Site) -> RedeemCommand:
    return await site.ask({}, expected_paid_minor=1)


async def blocked(site: Site) -> RedeemCommand:
    asked = await site.ask({})
    await site.owner.execute(
        "insert into guerdon.customers (tenant_id, customer_id, status) values ($1, $2, 'blocked')",
        site.tenant,
        asked.customer_id,
    )
    return asked


async def uninvited(site: Site) -> RedeemCommand:
    return await site.ask({"audience_mode": AudienceMode.LISTED})


async def not_new(site: Site) -> RedeemCommand:
    return await site.ask({"rules": (Rule("new", "new_user", {"account_age_days": 7}),)})


async def same_order(site: Site) -> RedeemCommand:
    return await site.use_up({}, order_ref="SO-1")


async def sold_out(site: Site) -> RedeemCommand:
    return await site.use_up({"total_limit": 1})


async def product_sold_out(site: Site) -> RedeemCommand:
    return await site.use_up(listed(max_uses=1))


async def once_each(site: Site) -> RedeemCommand:
    customer_id: UUID = new_id()
    return await site.use_up({"per_customer_limit": 1}, customer_id=customer_id)


CASES = {
    "revoked before": Case(Reason.REQUEST_REVOKED, revoked_before, OF_THE_REQUEST),
    "reused": Case(Reason.REQUEST_ID_REUSED, reused, OF_THE_REQUEST),
    "unknown id": Case(Reason.OFFER_NOT_FOUND, unknown_by_id, OF_THE_LINE),
    "unknown code": Case(
        Reason.OFFER_NOT_FOUND, unknown_by_code, OF_THE_LINE, frozenset({"offer_id"})
    ),
    "paused": Case(Reason.OFFER_NOT_ACTIVE, paused, OF_THE_LINE),
    "too early": Case(Reason.OFFER_NOT_STARTED, too_early, OF_THE_USE, clock_offset=10 * MINUTE),
    "too late": Case(Reason.OFFER_ENDED, too_late, OF_THE_USE, clock_offset=-10 * MINUTE),
    "picked up": Case(Reason.SERVICE_TYPE_NOT_COVERED, picked_up, OF_THE_LINE),
    "foreign": Case(Reason.CURRENCY_NOT_COVERED, foreign, OF_THE_LINE),
    "another product": Case(Reason.PRODUCT_NOT_COVERED, another_product, OF_THE_LINE),
    "no product": Case(
        Reason.PRODUCT_NOT_COVERED, no_product, OF_THE_LINE, frozenset({"product_id"})
    ),
    "too few": Case(Reason.QUANTITY_TOO_LOW, too_few, OF_THE_LINE),
    "too many": Case(Reason.QUANTITY_TOO_HIGH, too_many, OF_THE_LINE),
    "out of stock": Case(Reason.OUT_OF_STOCK, out_of_stock, OF_THE_LINE),
    "too dear": Case(Reason.AMOUNT_TOO_LARGE, too_dear, OF_THE_LINE),
    "mispriced": Case(Reason.PRICE_MISMATCH, mispriced, OF_THE_LINE),
    "unpriced": Case(
        Reason.PRICE_MISMATCH,
        unpriced,
        OF_THE_LINE,
        frozenset({"catalogue_price_minor", "catalogue_currency"}),
    ),
    # Only a Redeem expects a price, and no other locks an offer.
    "repriced": Case(Reason.PRICE_CHANGED, repriced, frozenset()),
    "blocked": Case(Reason.CUSTOMER_BLOCKED, blocked, OF_THE_USE),
    "uninvited": Case(Reason.NOT_IN_AUDIENCE, uninvited, OF_THE_USE),
    "not new": Case(Reason.NOT_ELIGIBLE, not_new, OF_THE_USE),
    "same order": Case(Reason.ORDER_ALREADY_USED, same_order, OF_THE_REQUEST),
    "sold out": Case(Reason.TOTAL_LIMIT_REACHED, sold_out, OF_THE_USE),
    "product sold out": Case(Reason.PRODUCT_LIMIT_REACHED, product_sold_out, OF_THE_USE),
    "once each": Case(Reason.CUSTOMER_LIMIT_REACHED, once_each, OF_THE_USE),
}
