"""One run's offers in the database: the model's names as ids, its actions through the adapters, and
what the tables say afterwards in the model's words."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.domain.errors import Conflict, GuerdonError
from guerdon.domain.identifiers import OfferId, RequestId, TenantId
from guerdon.domain.offers import OfferStatus, ProductScope, Target
from guerdon.domain.redemption import Redemption
from guerdon.ports import OfferRecord, StaleVersion, VersionPassed
from tests.isolation.model import (
    MAIN,
    Action,
    Edit,
    OfferState,
    Redeem,
    Revoke,
    Row,
    Terms,
)
from tests.support.control import draft
from tests.support.ledger import item, new_id

COLLIDED = "collided"
PRODUCT = "product"

EFFECTS_QUERY = """
    select o.offer_id, e.kind, e.request_id, e.version, e.sequence
    from unnest($1::uuid[]) as o (offer_id)
    join (
      select offer_id, 'redeemed' as kind, request_id, offer_version as version, sequence
      from guerdon.redemptions
      union all
      select offer_id, kind, request_id, version, sequence from guerdon.offer_effects
    ) as e using (offer_id)
    order by o.offer_id, e.sequence
"""
COUNTERS_QUERY = """
    select o.version, c.version as counter_version, c.used, c.spent_minor, c.last_sequence
    from unnest($1::uuid[]) with ordinality as w (offer_id, n)
    join guerdon.offers o using (offer_id)
    join guerdon.offer_counters c using (tenant_id, offer_id)
    order by w.n
"""
ROWS_QUERY = """
    select request_id, offer_id, customer_id, target_id, order_ref,
           revoked_at is not null as revoked
    from guerdon.redemptions where request_id = any ($1::uuid[])
"""
CUSTOMERS_QUERY = """
    select offer_id, customer_id, used, last_use from guerdon.offer_customer_usage
    where offer_id = any ($1::uuid[])
"""
PRODUCTS_QUERY = """
    select offer_id, target_id, used from guerdon.offer_product_counters
    where offer_id = any ($1::uuid[]) and used > 0
"""


class Scene:
    """Fresh offers of a tenant, on the terms of a situation."""

    def __init__(self, tenant_id: TenantId, terms: Terms, offers: Sequence[str]) -> None:
        self.tenant_id = tenant_id
        self.terms = terms
        self.offer_names = offers
        self.ids: dict[str, UUID] = {}
        self.names: dict[UUID | None, str] = {None: ""}
        self.main: OfferRecord | None = None

    def id_of(self, name: str) -> UUID:
        if name not in self.ids:
            self.ids[name] = new_id()
            self.names[self.ids[name]] = name
        return self.ids[name]

    async def make_offers(self, database: Database) -> None:
        terms = self.terms
        fields: dict[str, Any] = {
            "total_limit": terms.total_limit,
            "per_customer_limit": terms.customer_limit,
        }
        if terms.product_limit is not None:
            target = Target(product_id=self.id_of(PRODUCT), max_uses=terms.product_limit)
            fields |= {"targets": (target,), "product_scope": ProductScope.LISTED}
        offers = PostgresOffers(database)
        for name in self.offer_names:
            offer_id = OfferId(self.id_of(name))
            record = await offers.create(draft(self.tenant_id, offer_id=offer_id, **fields), "test")
            self.main = record if name == MAIN else self.main

    async def act(self, database: Database, action: Action) -> str:
        """Its answer as the model names it, COLLIDED when it is to be sent again, or the error."""
        try:
            match action:
                case Redeem():
                    return await self._redeem(database, action)
                case Edit():
                    return await self._edit(database, action)
                case Revoke():
                    request_id = RequestId(self.id_of(action.request))
                    store = PostgresRedemptions(database)
                    revocation, _ = await store.revoke(self.tenant_id, request_id, "")
                    return revocation.outcome.value
        except Conflict as conflict:
            cause = conflict.__cause__
            collided = isinstance(cause, asyncpg.PostgresError) and cause.sqlstate == "GD001"
            return COLLIDED if collided else repr(cause)
        except GuerdonError as error:
            return repr(error.__cause__ or error)

    async def _redeem(self, database: Database, action: Redeem) -> str:
        product = self.id_of(action.product) if action.product else None
        sent = item(
            self.tenant_id,
            OfferId(self.id_of(action.offer)),
            request_id=self.id_of(action.request),
            customer_id=self.id_of(action.customer),
            order_ref=action.order or None,
            product_id=product,
            target_id=product,
            target_max_uses=self.terms.product_limit,
        )
        answer = (await PostgresRedemptions(database).redeem(self.tenant_id, [sent])).answers[0]
        match answer.outcome:
            case Redemption():
                return "replayed" if answer.replayed else "granted"
            case StaleVersion():
                return "stale"
            case reason:
                return reason.name

    async def _edit(self, database: Database, action: Edit) -> str:
        assert self.main is not None
        offer = msgspec.structs.replace(
            self.main.draft.offer,
            total_limit=action.total_limit,
            status=OfferStatus.PAUSED if action.paused else OfferStatus.ACTIVE,
        )
        edited = msgspec.structs.replace(self.main.draft, offer=offer)
        try:
            await PostgresOffers(database).replace(edited, current=self.main, changed_by="test")
        except VersionPassed:
            return "version passed"
        return "edited"

    async def offers(self, owner: asyncpg.Connection) -> tuple[tuple[str, OfferState], ...]:
        """Every offer of the run."""
        offer_ids = [self.id_of(name) for name in self.offer_names]
        counters = await owner.fetch(COUNTERS_QUERY, offer_ids)
        effects = await owner.fetch(EFFECTS_QUERY, offer_ids)
        customers = await owner.fetch(CUSTOMERS_QUERY, offer_ids)
        products = await owner.fetch(PRODUCTS_QUERY, offer_ids)
        return tuple(
            (
                self.names[offer_id],
                self._state(
                    row, *(_of(offer_id, found) for found in (effects, customers, products))
                ),
            )
            for offer_id, row in zip(offer_ids, counters, strict=True)
        )

    def _state(
        self,
        row: asyncpg.Record,
        effects: Sequence[asyncpg.Record],
        customers: Sequence[asyncpg.Record],
        products: Sequence[asyncpg.Record],
    ) -> OfferState:
        return OfferState(
            **row,
            effects=tuple(
                (
                    effect["sequence"],
                    effect["kind"],
                    self.names[effect["request_id"]] or str(effect["version"]),
                )
                for effect in effects
            ),
            customers=frozenset(
                (self.names[use["customer_id"]], use["used"], use["last_use"]) for use in customers
            ),
            products=frozenset((self.names[use["target_id"]], use["used"]) for use in products),
        )

    async def rows(self, owner: asyncpg.Connection) -> frozenset[tuple[str, Row]]:
        """The redemptions and tombstones of every request of the run."""
        found = await owner.fetch(ROWS_QUERY, list(self.ids.values()))
        names = [self.names[row["request_id"]] for row in found]
        return frozenset(zip(names, map(self._row, found), strict=True))

    def _row(self, row: asyncpg.Record) -> Row:
        if row["offer_id"] is None:
            return Row(None, revoked=row["revoked"])
        redeem = Redeem(
            request=self.names[row["request_id"]],
            customer=self.names[row["customer_id"]],
            offer=self.names[row["offer_id"]],
            order=row["order_ref"] or "",
            product=self.names[row["target_id"]],
        )
        return Row(redeem, revoked=row["revoked"])


def _of(offer_id: UUID, rows: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
    return [row for row in rows if row["offer_id"] == offer_id]
