"""What a catalogue asks of Postgres, counted and held back where a test wants a race."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from guerdon.adapters.postgres.catalogue import PostgresOfferReader
from guerdon.domain.errors import DependencyUnavailable
from guerdon.domain.identifiers import OfferId, ProductId, TenantId
from guerdon.domain.products import Product
from guerdon.ports import LiveOffers, StampedOffer

Value = TypeVar("Value")


class Reader:
    """The real reader, counted; a test can hold back what Postgres has answered already."""

    def __init__(self, reader: PostgresOfferReader) -> None:
        self._reader = reader
        self.calls: list[str] = []
        self.broken = False
        self.held_call = ""
        self.answered = asyncio.Event()
        self.released = asyncio.Event()

    async def read_live(self, tenant_id: TenantId, known_fingerprint: str | None) -> LiveOffers:
        return await self._pass("live", self._reader.read_live(tenant_id, known_fingerprint))

    async def read_offers(
        self, tenant_id: TenantId, offer_ids: Sequence[OfferId]
    ) -> Sequence[StampedOffer]:
        return await self._pass("offers", self._reader.read_offers(tenant_id, offer_ids))

    async def find_offer_by_code(self, tenant_id: TenantId, code: str) -> StampedOffer | None:
        return await self._pass("code", self._reader.find_offer_by_code(tenant_id, code))

    async def read_products(
        self, tenant_id: TenantId, product_ids: Sequence[ProductId]
    ) -> Sequence[Product]:
        return await self._pass("products", self._reader.read_products(tenant_id, product_ids))

    async def _pass(self, name: str, answer: Coroutine[Any, Any, Value]) -> Value:
        self.calls.append(name)
        if self.broken:
            answer.close()
            raise DependencyUnavailable
        value = await answer
        if name == self.held_call:
            self.answered.set()
            await self.released.wait()
        return value
