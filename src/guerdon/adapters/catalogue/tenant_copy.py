"""What a process keeps of one tenant. No IO and no waiting: every method returns at once.

The scheduled and active offers are held whole and checked together; everything else that somebody
asked for is held in bounded maps. A change counts up `changes`; a read notes that count when it
begins, and what changed meanwhile is not kept from it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from guerdon.adapters.catalogue.recent import Moment, Recent, is_later
from guerdon.domain.identifiers import OfferId, ProductId
from guerdon.domain.offers import REDEEMABLE_STATUSES, Offer, OfferReference
from guerdon.domain.products import Product
from guerdon.domain.tenants import Tenant
from guerdon.limits import CATALOGUE_AGE_SECONDS_MAX, CATALOGUE_MISSES_MAX
from guerdon.ports import OfferStamp, StampedOffer

NEVER = float("-inf")


class Held(msgspec.Struct, frozen=True):
    """A live offer and when the read of it began."""

    stamped: StampedOffer
    offer: Offer
    began: Moment


class TenantCopy:
    """One tenant's settings, offers and products. `tenant` is None until the first check."""

    def __init__(self) -> None:
        self.tenant: Tenant | None = None
        self.checked_at = NEVER
        """When the check began that last compared the live offers with Postgres, in seconds."""
        self.fingerprint: str | None = None
        """Of the live offers in Postgres when they were last equal to those that are held."""
        self.changes = 0
        self._distrusted = 0
        self._products_changed = 0
        self._live: dict[OfferId, Held] = {}
        self._codes: dict[str, Held] = {}
        self._changed: dict[OfferId, int] = {}
        self._automatic: tuple[Offer, ...] | None = None
        self._others: Recent[OfferId, Offer] = Recent(CATALOGUE_MISSES_MAX)
        self._other_codes: Recent[str, Offer] = Recent(CATALOGUE_MISSES_MAX)
        self._products: Recent[ProductId, Product] = Recent(CATALOGUE_MISSES_MAX)

    def moment(self, seconds: float) -> Moment:
        """Now, for a read that begins."""
        return Moment(self.changes, seconds)

    # Live offers

    def live(self, reference: OfferReference) -> Offer | None:
        """The scheduled or active offer of that name, if it is held."""
        if reference.offer_id is not None:
            held = self._live.get(reference.offer_id)
        else:
            held = self._codes.get(reference.code or "")
        return None if held is None else held.offer

    @property
    def automatic(self) -> Sequence[Offer]:
        """The scheduled and active offers that are held and apply without being named."""
        if self._automatic is None:
            self._automatic = tuple(
                held.offer for held in self._live.values() if held.offer.applies_by_itself
            )
        return self._automatic

    @property
    def changed(self) -> Collection[OfferId]:
        """Offers that changed and were not read since; they may be live."""
        return self._changed.keys()

    def behind(self, stamps: Mapping[OfferId, OfferStamp]) -> dict[OfferId, OfferStamp]:
        """Of the live offers in Postgres, those that are held otherwise or not at all."""
        return {
            offer_id: stamp
            for offer_id, stamp in stamps.items()
            if (held := self._live.get(offer_id)) is None
            or held.offer.version != stamp.version
            or held.stamped.updated_at != stamp.updated_at
        }

    def gone(self, stamps: Mapping[OfferId, OfferStamp]) -> list[OfferId]:
        """Offers that are held as live and are not live in Postgres."""
        return [offer_id for offer_id in self._live if offer_id not in stamps]

    def checked(self, tenant: Tenant, fingerprint: str, began: Moment) -> None:
        """The live offers were compared with Postgres and are as they were when that began."""
        self.tenant = tenant
        if began.changes >= self._distrusted:
            self.checked_at = began.seconds
        # With nothing forgotten since, what is held is just what the fingerprint is of.
        self.fingerprint = fingerprint if began.changes == self.changes else None
        # What changed before and was not read with the live offers is none of them.
        self._changed = {
            offer_id: changes
            for offer_id, changes in self._changed.items()
            if changes > began.changes
        }

    # Reads that ended

    def keep_offers(
        self, asked: Iterable[OfferId], offers: Iterable[StampedOffer], began: Moment
    ) -> None:
        """Hold what was read; what was asked for and not found is unknown or deleted."""
        found = {stamped.offer.offer_id: stamped for stamped in offers}
        for offer_id in asked:
            self._keep(offer_id, found.get(offer_id), began)

    def keep_code(self, code: str, found: StampedOffer | None, began: Moment) -> None:
        """Hold what a code stands for."""
        if found is not None and found.offer.status in REDEEMABLE_STATUSES:
            self._keep(found.offer.offer_id, found, began)
        elif began.changes == self.changes:
            # A code may pass from one offer to another, so it is held only while nothing changes.
            self._other_codes.keep(code, None if found is None else found.offer, 0, began)

    def keep_product(self, product: Product, began: Moment) -> None:
        """Hold a product's facts."""
        if began.changes >= self._products_changed:
            self._products.keep(product.product_id, product, product.facts_version, began)

    # What else is held

    def other(self, reference: OfferReference, now_seconds: float) -> tuple[Offer | None] | None:
        """What is known of an offer that is not live, in a tuple; no tuple when it must be read."""
        not_before = now_seconds - CATALOGUE_AGE_SECONDS_MAX
        if reference.offer_id is not None:
            return self._others.find(reference.offer_id, not_before)
        return self._other_codes.find(reference.code or "", not_before)

    def product(self, product_id: ProductId, now_seconds: float) -> Product | None:
        """The product's facts; None when they must be read."""
        found = self._products.find(product_id, now_seconds - CATALOGUE_AGE_SECONDS_MAX)
        return None if found is None else found[0]

    # Changes

    def offer_changed(self, offer_id: OfferId, version: int, now_seconds: float) -> None:
        """Forget the offer, unless that version is held already."""
        self.changes += 1
        self._other_codes.clear()
        held = self._live.get(offer_id)
        known = held.offer.version if held else self._others.version(offer_id)
        if known is None or known < version:
            self._forget(offer_id, now_seconds)

    def offer_stale(self, offer_id: OfferId, version: int, now_seconds: float) -> None:
        """Forget the offer if it is held as that version."""
        held = self._live.get(offer_id)
        known = held.offer.version if held else self._others.version(offer_id)
        self._other_codes.clear()
        if known == version:
            self.changes += 1
            self._forget(offer_id, now_seconds)

    def offer_appeared(self, reference: OfferReference) -> None:
        """Forget that there is no offer of this name."""
        self.changes += 1
        if reference.offer_id is not None and self._others.version(reference.offer_id) == 0:
            self._others.drop(reference.offer_id)
        self._other_codes.drop(reference.code or "")

    def product_changed(self, product_id: ProductId, version: int, now_seconds: float) -> None:
        """Forget the product, unless facts of that version are held already."""
        known = self._products.version(product_id)
        if known is None or known < version:
            self.product_stale(product_id, now_seconds)

    def product_stale(self, product_id: ProductId, now_seconds: float) -> None:
        """Forget the product."""
        self.changes += 1
        self._products.forget(product_id, self.moment(now_seconds))

    def products_changed(self) -> None:
        """Forget all products."""
        self.changes += 1
        self._products_changed = self.changes
        self._products.clear()

    def distrust(self) -> None:
        """Changes may have been missed: compare everything before it is used again."""
        self.changes += 1
        self._distrusted = self._products_changed = self.changes
        self.checked_at = NEVER
        self._others.clear()
        self._other_codes.clear()
        self._products.clear()

    def _forget(self, offer_id: OfferId, now_seconds: float) -> None:
        self._remove(offer_id)
        self.fingerprint = None
        self._changed[offer_id] = self.changes
        self._others.forget(offer_id, self.moment(now_seconds))
        if len(self._changed) > CATALOGUE_MISSES_MAX:
            # More than one would read one by one: the next check compares them all.
            self._changed.clear()
            self.distrust()

    def _keep(self, offer_id: OfferId, found: StampedOffer | None, began: Moment) -> None:
        offer = None if found is None else found.offer
        version = 0 if offer is None else offer.version
        held = self._live.get(offer_id)
        if self._changed.get(offer_id, 0) > began.changes or (
            held is not None and is_later(held.began, held.offer.version, began, version)
        ):
            return
        if not self._others.admits(offer_id, version, began):
            return
        self._changed.pop(offer_id, None)
        self._remove(offer_id)
        if found is not None and found.offer.status in REDEEMABLE_STATUSES:
            self._others.drop(offer_id)
            self._add(Held(found, found.offer, began))
        else:
            self._others.keep(offer_id, offer, version, began)

    def _add(self, held: Held) -> None:
        self._live[held.offer.offer_id] = held
        if held.offer.code_normalised is not None:
            self._codes[held.offer.code_normalised] = held
        self._automatic = None

    def _remove(self, offer_id: OfferId) -> None:
        held = self._live.pop(offer_id, None)
        if held is None:
            return
        code = held.offer.code_normalised
        if code is not None and self._codes.get(code) is held:
            del self._codes[code]
        self._automatic = None
