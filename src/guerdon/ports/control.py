"""What admins and other systems write: tenants, keys, offers, facts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from guerdon.domain.facts import (
    ActivityDay,
    CustomerFacts,
    OperatorFacts,
    ProductFacts,
    ProductsPushed,
    PushCounts,
    SupplierFacts,
    Transaction,
)
from guerdon.domain.identifiers import OfferId, TargetId, TenantId
from guerdon.domain.offers import OfferDraft, OfferStatus
from guerdon.domain.tenants import Tenant


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the tenant and scopes of the API key. `key_id` is public and fit for logs."""

    tenant_id: TenantId
    key_id: str
    scopes: frozenset[str]


class Authenticator(Protocol):
    """API keys to callers."""

    async def authenticate(self, presented_key: str) -> Caller:
        """Raises Unauthenticated with its reason, or DependencyUnavailable."""


class KeyProof(msgspec.Struct, frozen=True):
    """What decides whether a presented API key is good. `seconds_left` None: it never expires."""

    secret_hash: bytes
    scopes: frozenset[str]
    revoked: bool
    seconds_left: float | None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secret."""

    tenant_id: TenantId
    key_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class ApiKeyStore(Protocol):
    """API keys and the hashes of their secrets. All methods may raise DependencyUnavailable."""

    async def find_proof(self, tenant_id: TenantId, key_id: str) -> KeyProof | None:
        """None when there is no such key, or its tenant is deleted."""

    async def create(self, key: ApiKey, secret_hash: bytes) -> ApiKey:
        """Keep the key; answers it with the database's `created_at`.

        ExpiryPassed when `expires_at` is not after that.
        """

    async def list_page(
        self, tenant_id: TenantId, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ApiKey]:
        """Newest first, at most `limit`, strictly after the (created_at, key id) last seen."""

    async def revoke(self, tenant_id: TenantId, key_id: str) -> ApiKey | None:
        """End the key, once; announced in the same transaction. None when there is no such key."""


class ExpiryPassed(Exception):
    """A key was to expire before it began."""


class TenantStore(Protocol):
    """Tenants as they are founded. All methods may raise DependencyUnavailable."""

    async def find_by_slug(self, slug: str) -> TenantId | None:
        """The tenant that the directory lists under this name."""

    async def knows_time_zone(self, name: str) -> bool:
        """Whether this is the name of a time zone, in the spelling of the IANA."""

    async def found_listed(self, tenant: Tenant, slug: str) -> bool:
        """Write a tenant of a new id and list it, both or neither; False when the name is taken."""

    async def found(self, tenant: Tenant) -> bool:
        """Write the tenant; False when there is one of that id, which stays as it is."""

    async def list_in_directory(self, slug: str, tenant_id: TenantId) -> bool:
        """List the tenant under this name; False when the name is taken."""


class OfferRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An offer as its owner sees it. `targets_used` counts live uses of targets with max_uses."""

    draft: OfferDraft
    used: int = 0
    targets_used: Mapping[TargetId, int] = {}
    created_by: str
    created_at: datetime
    updated_at: datetime


class OfferStore(Protocol):
    """Offers as admins read and write them. All methods may raise DependencyUnavailable."""

    async def find(self, tenant_id: TenantId, offer_id: OfferId) -> OfferRecord | None:
        """None when it is unknown or deleted."""

    async def list_page(
        self,
        tenant_id: TenantId,
        status: OfferStatus | None,
        before: tuple[datetime, OfferId] | None,
        limit: int,
    ) -> Sequence[OfferRecord]:
        """Newest first, at most `limit`, strictly after the (created_at, offer id) last seen."""

    async def create(self, draft: OfferDraft, created_by: str) -> OfferRecord:
        """Write version 1, its counter and what it said. Durable and announced when it returns.

        CodeAlreadyUsed; OfferAlreadyExists when the id is taken; OutcomeUnknown.
        """

    async def replace(
        self, draft: OfferDraft, *, current: OfferRecord, changed_by: str
    ) -> OfferRecord:
        """Write the version after `current`, of which `draft` was made, under the offer's lock.

        A barrier: once it returns, no redemption commits under an earlier version. Raises
        VersionPassed when `current` is no longer in force, NotFound("offer") when it was deleted,
        CodeAlreadyUsed, LocksTimedOut, OutcomeUnknown; nothing is written then, but for the last.
        """


class VersionPassed(Exception):
    """Somebody else wrote the offer meanwhile; read it again."""


class FactStore(Protocol):
    """Postgres as facts are pushed into it, at most FACTS_ITEMS_MAX items (or links) a call.

    Of several customers, products, suppliers and so on with one id, the last counts. Every
    method is one transaction, all or nothing, and idempotent: the same push again changes nothing.
    Any number of pushes of overlapping ids may run at once. All methods may raise LocksTimedOut or
    Conflict (nothing was written), DependencyUnavailable, and OutcomeUnknown, after which the same
    push may simply be sent again.
    """

    async def upsert_customers(
        self, tenant_id: TenantId, customers: Sequence[CustomerFacts]
    ) -> PushCounts:
        """Insert or replace customers with all their roles."""

    async def upsert_products(
        self, tenant_id: TenantId, products: Sequence[ProductFacts]
    ) -> ProductsPushed:
        """Insert or replace products; the caches are notified."""

    async def upsert_operators(
        self, tenant_id: TenantId, operators: Sequence[OperatorFacts]
    ) -> PushCounts:
        """Insert or replace operators."""

    async def upsert_suppliers(
        self, tenant_id: TenantId, suppliers: Sequence[SupplierFacts]
    ) -> ProductsPushed:
        """Insert or replace suppliers and the links that are given; the caches are notified."""

    async def record_transactions(
        self, tenant_id: TenantId, transactions: Sequence[Transaction]
    ) -> PushCounts:
        """Insert transactions or move their status forward, and keep the rules' counts exact.

        An earlier status that arrives late changes nothing. Raises TransactionConflict with the
        ids whose content differs from what is known or whose status cannot follow from it, and
        FieldsInvalid when a customer's amounts sum up to more than can be kept.
        """

    async def record_activities(
        self, tenant_id: TenantId, activities: Sequence[ActivityDay]
    ) -> PushCounts:
        """Mark days as active; they never become inactive again."""
