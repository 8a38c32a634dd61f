"""ports.OfferReader on Postgres: what the caches are filled from, one round trip a question."""

from collections.abc import Sequence

import msgspec

from guerdon.adapters.postgres import queries
from guerdon.adapters.postgres.connection import Database
from guerdon.domain.errors import NotFound
from guerdon.domain.identifiers import OfferId, ProductId, TenantId
from guerdon.domain.products import Product
from guerdon.domain.tenants import Tenant
from guerdon.limits import CATALOGUE_READ_ITEMS_MAX
from guerdon.ports import LiveOffers, OfferStamp, StampedOffer

_offers = msgspec.json.Decoder(list[StampedOffer])
_products = msgspec.json.Decoder(list[Product])
_tenant = msgspec.json.Decoder(Tenant)


class PostgresOfferReader:
    """The tables of schema guerdon. See ports.OfferReader for the contract of each method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_live(self, tenant_id: TenantId, known_fingerprint: str | None) -> LiveOffers:
        row = await self._database.call(
            queries.text("list_live_offers"), tenant_id, known_fingerprint
        )
        if row["o_tenant"] is None:
            raise NotFound("tenant", tenant_id)
        stamps = None
        if row["o_offers"] is not None:
            told = map(OfferStamp, row["o_versions"], row["o_updated"])
            stamps = dict(zip(map(OfferId, row["o_offers"]), told, strict=True))
        return LiveOffers(_tenant.decode(row["o_tenant"]), row["o_fingerprint"], stamps)

    async def read_offers(
        self, tenant_id: TenantId, offer_ids: Sequence[OfferId]
    ) -> Sequence[StampedOffer]:
        """In pieces that neither side holds for long: the event loop decodes one in a few ms."""
        offers: list[StampedOffer] = []
        for start in range(0, len(offer_ids), CATALOGUE_READ_ITEMS_MAX):
            piece = offer_ids[start : start + CATALOGUE_READ_ITEMS_MAX]
            offers += await self._read(tenant_id, piece, None)
        return offers

    async def find_offer_by_code(self, tenant_id: TenantId, code: str) -> StampedOffer | None:
        offers = await self._read(tenant_id, [], [code])
        return offers[0] if offers else None

    async def read_products(
        self, tenant_id: TenantId, product_ids: Sequence[ProductId]
    ) -> Sequence[Product]:
        row = await self._database.call(queries.text("read_products"), tenant_id, product_ids)
        return _products.decode(row["o_products"])

    async def _read(
        self, tenant_id: TenantId, offer_ids: Sequence[OfferId], codes: list[str] | None
    ) -> list[StampedOffer]:
        row = await self._database.call(
            queries.text("read_offers"), tenant_id, offer_ids, codes, False
        )
        return _offers.decode(row["o_offers"])
