"""Offers, products and settings as caches hold them, and how caches hear of changes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol, Self
from uuid import UUID

import msgspec

from guerdon.domain.identifiers import OfferId, ProductId, TenantId
from guerdon.domain.offers import Offer, OfferReference
from guerdon.domain.products import Product
from guerdon.domain.tenants import Tenant


class OfferCatalogue(Protocol):
    """Tenants, offers and product facts as the data plane reads them: cached, so possibly behind.

    Whatever is decided by them is confirmed by Postgres, with the version it was decided by. A
    copy is at
    most one second behind while invalidation works, and never older than CATALOGUE_AGE_SECONDS_MAX.
    All methods may raise DependencyUnavailable.
    """

    async def tenant(self, tenant_id: TenantId) -> Tenant:
        """The tenant's settings; NotFound("tenant") when it is deleted."""

    async def offer(self, tenant_id: TenantId, reference: OfferReference) -> Offer | None:
        """The offer by its id or normalised code, in any status; None when unknown or deleted."""

    async def automatic_offers(self, tenant_id: TenantId) -> Sequence[Offer]:
        """The tenant's scheduled and active offers that apply without being named, in no order."""

    async def product(self, tenant_id: TenantId, product_id: ProductId) -> Product:
        """The product's facts; an unknown product has facts_version 0 and no kind."""

    async def forget_offer(
        self, tenant_id: TenantId, offer_id: OfferId, known_version: int
    ) -> None:
        """The caller saw another version than `known_version`: the next read loads the offer anew.

        Does nothing when the copy is of another version already.
        """

    async def forget_unknown(self, tenant_id: TenantId, reference: OfferReference) -> None:
        """The caller saw that an offer of this name exists: the next read looks for it anew."""

    async def forget_product(self, tenant_id: TenantId, product_id: ProductId) -> None:
        """The caller saw other facts: the next read loads the product anew."""


class OfferStamp(msgspec.Struct, frozen=True):
    """Tells one version of an offer from every other, also from one of the same number in another
    history of the database (as after a restore from a backup)."""

    version: int
    updated_at: datetime


class StampedOffer(msgspec.Struct, frozen=True):
    """An offer as Postgres said it, and the version that it is."""

    offer: Offer
    updated_at: datetime

    @property
    def stamp(self) -> OfferStamp:
        """What LiveOffers says while this version is in force."""
        return OfferStamp(self.offer.version, self.updated_at)


class LiveOffers(msgspec.Struct, frozen=True):
    """A tenant's settings, and which offers of it are scheduled or active.

    `stamps` is None when nothing of that changed since an answer with the same fingerprint.
    """

    tenant: Tenant
    fingerprint: str
    stamps: Mapping[OfferId, OfferStamp] | None


class OfferReader(Protocol):
    """Postgres as the caches read it. All methods may raise DependencyUnavailable."""

    async def read_live(self, tenant_id: TenantId, known_fingerprint: str | None) -> LiveOffers:
        """One snapshot; NotFound("tenant") when there is none or it is deleted."""

    async def read_offers(
        self, tenant_id: TenantId, offer_ids: Sequence[OfferId]
    ) -> Sequence[StampedOffer]:
        """The offers in any status, in no order; unknown and deleted ones are left out."""

    async def find_offer_by_code(self, tenant_id: TenantId, code: str) -> StampedOffer | None:
        """The live offer that has the normalised code, in any status."""

    async def read_products(
        self, tenant_id: TenantId, product_ids: Sequence[ProductId]
    ) -> Sequence[Product]:
        """The products in no order; unknown ones are left out, deleted ones have nothing but
        their facts_version."""


class OfferShelf(Protocol):
    """Redis' copy of compiled live offers, so that a new process need not ask Postgres for all."""

    async def fetch(
        self, tenant_id: TenantId, stamps: Mapping[OfferId, OfferStamp]
    ) -> Sequence[StampedOffer]:
        """Those offers that are kept whole and have exactly the wanted stamp. Never raises."""

    async def store(self, tenant_id: TenantId, offers: Sequence[StampedOffer]) -> None:
        """Keep the offers; of two the higher version stays. Never raises."""


class ChangeKind(StrEnum):
    """What a change is about, as the announcement spells it."""

    OFFER = "offer"
    PRODUCT = "product"
    TENANT = "tenant"
    KEY = "key"


class Change(msgspec.Struct, frozen=True):
    """Something was committed that caches may hold. Its text goes over NOTIFY and Redis pub/sub.

    `subject` is an offer's or product's id, "*" for all products, a key id, or the tenant's id.
    """

    kind: ChangeKind
    tenant_id: TenantId
    subject: str
    version: int

    def text(self) -> str:
        """`<kind> <tenant> <subject> <version>`."""
        return f"{self.kind} {self.tenant_id} {self.subject} {self.version}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The change that a text tells; None for anything else."""
        try:
            kind, tenant, subject, version = text.split(" ")
            return cls(ChangeKind(kind), TenantId(UUID(tenant)), subject, int(version))
        except ValueError:
            return None


class ChangePublisher(Protocol):
    """The second, quicker way by which servers hear of a commit; NOTIFY is the first."""

    async def publish(self, changes: Sequence[Change]) -> None:
        """Tell the other servers. Never raises."""


class ChangeSink(Protocol):
    """A cache that hears of changes. Its methods return at once and never raise."""

    def apply(self, change: Change) -> None:
        """Something changed: what is held of it is not used again."""

    def forget_all(self) -> None:
        """Changes may have been missed: nothing that is held is used again."""
