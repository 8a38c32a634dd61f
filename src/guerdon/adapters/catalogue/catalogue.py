"""ports.OfferCatalogue: a process copy in front of Redis in front of Postgres.

A tenant's copy is compared with Postgres every CATALOGUE_CHECK_SECONDS while it is used: one cheap
question for a fingerprint of all live offers, then only what differs is read, a new copy's offers
from Redis where their stamps are right. Between checks, changes that are heard of
(ports.ChangeSink) drop what they name. So Redis, NOTIFY and pub/sub can fail or lie, and cost
nothing but speed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from guerdon.adapters.catalogue.recent import Moment
from guerdon.adapters.catalogue.tenant_copy import TenantCopy
from guerdon.adapters.single_flight import SingleFlight
from guerdon.domain.errors import NotFound
from guerdon.domain.identifiers import OfferId, ProductId, TenantId
from guerdon.domain.offers import REDEEMABLE_STATUSES, Offer, OfferReference
from guerdon.domain.products import Product
from guerdon.domain.tenants import Tenant
from guerdon.limits import (
    CATALOGUE_AGE_SECONDS_MAX,
    CATALOGUE_CHECK_SECONDS,
    CATALOGUE_SHELF_ITEMS_MIN,
    CATALOGUE_TENANTS_MAX,
)
from guerdon.ports import (
    Change,
    ChangeKind,
    OfferReader,
    OfferShelf,
    OfferStamp,
    StampedOffer,
)
from guerdon.telemetry import Metrics


class Catalogue:
    """See ports.OfferCatalogue and ports.ChangeSink. `clock` is monotonic, in seconds."""

    def __init__(
        self, reader: OfferReader, shelf: OfferShelf, clock: Callable[[], float], metrics: Metrics
    ) -> None:
        self._reader = reader
        self._shelf = shelf
        self._clock = clock
        self._metrics = metrics
        self._copies: OrderedDict[TenantId, TenantCopy] = OrderedDict()
        self._checks: SingleFlight[None] = SingleFlight()
        self._offers: SingleFlight[Offer | None] = SingleFlight()
        self._products: SingleFlight[Product] = SingleFlight()
        self._shelving: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End the reads that are under way."""
        await self._checks.close()
        await self._offers.close()
        await self._products.close()
        for task in self._shelving:
            task.cancel()
        await asyncio.gather(*self._shelving, return_exceptions=True)

    async def shelved(self) -> None:
        """Wait until what was read so far is on the shelf."""
        await asyncio.gather(*self._shelving)

    # ports.OfferCatalogue

    async def tenant(self, tenant_id: TenantId) -> Tenant:
        copy = self._fresh(tenant_id) or await self._checked(tenant_id)
        assert copy.tenant is not None
        return copy.tenant

    async def offer(self, tenant_id: TenantId, reference: OfferReference) -> Offer | None:
        copy = self._fresh(tenant_id) or await self._checked(tenant_id)
        offer = copy.live(reference)
        if offer is not None:
            return offer
        known = copy.other(reference, self._clock())
        if known is not None:
            return known[0]
        key = (tenant_id, reference.offer_id, reference.code, copy.changes)
        return await self._offers.fly(key, lambda: self._read_offer(tenant_id, copy, reference))

    async def automatic_offers(self, tenant_id: TenantId) -> Sequence[Offer]:
        return (await self._whole(tenant_id)).automatic

    async def product(self, tenant_id: TenantId, product_id: ProductId) -> Product:
        copy = self._fresh(tenant_id) or await self._checked(tenant_id)
        product = copy.product(product_id, self._clock())
        if product is not None:
            return product
        key = (tenant_id, product_id, copy.changes)
        return await self._products.fly(
            key, lambda: self._read_product(tenant_id, copy, product_id)
        )

    async def forget_offer(
        self, tenant_id: TenantId, offer_id: OfferId, known_version: int
    ) -> None:
        if copy := self._copies.get(tenant_id):
            copy.offer_stale(offer_id, known_version, self._clock())

    async def forget_unknown(self, tenant_id: TenantId, reference: OfferReference) -> None:
        if copy := self._copies.get(tenant_id):
            copy.offer_appeared(reference)

    async def forget_product(self, tenant_id: TenantId, product_id: ProductId) -> None:
        if copy := self._copies.get(tenant_id):
            copy.product_stale(product_id, self._clock())

    # ports.ChangeSink

    def apply(self, change: Change) -> None:
        """What is named is read anew at its next use."""
        copy = self._copies.get(change.tenant_id)
        if copy is None:
            return
        match change.kind:
            case ChangeKind.OFFER:
                if subject := _parse(change.subject):
                    copy.offer_changed(OfferId(subject), change.version, self._clock())
            case ChangeKind.PRODUCT:
                if subject := _parse(change.subject):
                    copy.product_changed(ProductId(subject), change.version, self._clock())
                else:
                    copy.products_changed()
            case ChangeKind.TENANT:
                copy.distrust()
            case ChangeKind.KEY:
                pass

    def forget_all(self) -> None:
        """Offers stay in memory, but none is used before it was compared with Postgres."""
        for copy in self._copies.values():
            copy.distrust()

    # Reads

    def _fresh(self, tenant_id: TenantId) -> TenantCopy | None:
        """The copy, if no check of it is due."""
        copy = self._copies.get(tenant_id)
        if copy is not None and self._clock() - copy.checked_at < CATALOGUE_CHECK_SECONDS:
            return copy
        return None

    async def _checked(self, tenant_id: TenantId) -> TenantCopy:
        """The copy, not older than it may be; a check that is due but not urgent runs beside."""
        copy = self._copies.get(tenant_id)
        if copy is None:
            copy = self._copies[tenant_id] = TenantCopy()
            if len(self._copies) > CATALOGUE_TENANTS_MAX:
                self._copies.popitem(last=False)
        self._copies.move_to_end(tenant_id)
        found = copy
        check = self._checks.start((tenant_id, id(copy)), lambda: self._check(tenant_id, found))
        if self._clock() - copy.checked_at >= CATALOGUE_AGE_SECONDS_MAX:
            await asyncio.shield(check)
        return copy

    async def _whole(self, tenant_id: TenantId) -> TenantCopy:
        """The copy with every live offer in it, also those that just changed."""
        copy = self._fresh(tenant_id) or await self._checked(tenant_id)
        if copy.changed:
            await self._checks.fly(
                (tenant_id, id(copy), copy.changes), lambda: self._read_changed(tenant_id, copy)
            )
        return copy

    async def _check(self, tenant_id: TenantId, copy: TenantCopy) -> None:
        began = copy.moment(self._clock())
        try:
            live = await self._reader.read_live(tenant_id, copy.fingerprint)
        except NotFound:
            self._copies.pop(tenant_id, None)
            raise
        self._metrics.catalogue_loaded("tenant", 1)
        if live.stamps is not None:
            await self._catch_up(tenant_id, copy, live.stamps, began)
        copy.checked(live.tenant, live.fingerprint, began)

    async def _catch_up(
        self,
        tenant_id: TenantId,
        copy: TenantCopy,
        stamps: Mapping[OfferId, OfferStamp],
        began: Moment,
    ) -> None:
        """Read what differs from the stamps, from Redis where it is there and right."""
        wanted = copy.behind(stamps)
        if len(wanted) >= CATALOGUE_SHELF_ITEMS_MIN:
            shelved = await self._shelf.fetch(tenant_id, wanted)
            copy.keep_offers([stamped.offer.offer_id for stamped in shelved], shelved, began)
            for stamped in shelved:
                del wanted[stamped.offer.offer_id]
        rest = [*wanted, *copy.gone(stamps)]
        if rest:
            offers = await self._reader.read_offers(tenant_id, rest)
            copy.keep_offers(rest, offers, began)
            self._metrics.catalogue_loaded("offer", len(offers))
            self._shelve(tenant_id, offers)

    async def _read_changed(self, tenant_id: TenantId, copy: TenantCopy) -> None:
        began = copy.moment(self._clock())
        asked = list(copy.changed)
        offers = await self._reader.read_offers(tenant_id, asked)
        copy.keep_offers(asked, offers, began)
        self._metrics.catalogue_loaded("offer", len(offers))
        self._shelve(tenant_id, offers)

    async def _read_offer(
        self, tenant_id: TenantId, copy: TenantCopy, reference: OfferReference
    ) -> Offer | None:
        began = copy.moment(self._clock())
        if reference.offer_id is not None:
            found = await self._reader.read_offers(tenant_id, [reference.offer_id])
            copy.keep_offers([reference.offer_id], found, began)
        else:
            by_code = await self._reader.find_offer_by_code(tenant_id, reference.code or "")
            copy.keep_code(reference.code or "", by_code, began)
            found = [] if by_code is None else [by_code]
        self._metrics.catalogue_loaded("offer", 1)
        self._shelve(tenant_id, found)
        return found[0].offer if found else None

    async def _read_product(
        self, tenant_id: TenantId, copy: TenantCopy, product_id: ProductId
    ) -> Product:
        began = copy.moment(self._clock())
        found = await self._reader.read_products(tenant_id, [product_id])
        product = found[0] if found else Product(product_id, facts_version=0)
        copy.keep_product(product, began)
        self._metrics.catalogue_loaded("product", 1)
        return product

    def _shelve(self, tenant_id: TenantId, offers: Sequence[StampedOffer]) -> None:
        """Put live offers on the shelf, beside whoever waits for them."""
        live = [stamped for stamped in offers if stamped.offer.status in REDEEMABLE_STATUSES]
        if live:
            task = asyncio.get_running_loop().create_task(self._shelf.store(tenant_id, live))
            self._shelving.add(task)
            task.add_done_callback(self._shelving.discard)


def _parse(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
