"""What the planes need from outside, as protocols. The docstrings are the contract: every adapter
keeps
them, and tests hold the adapters to them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol, Self
from uuid import UUID

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
from guerdon.domain.identifiers import CustomerId, OfferId, ProductId, RequestId, TargetId, TenantId
from guerdon.domain.offers import Offer, OfferDraft, OfferReference, OfferStatus
from guerdon.domain.products import Product
from guerdon.domain.redemption import Redemption, RedemptionItem, Revocation
from guerdon.domain.refusals import Refusal
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

    async def listed_offers(self, tenant_id: TenantId) -> Sequence[Offer]:
        """The tenant's scheduled and active offers, in no order."""

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


class Probe(msgspec.Struct, frozen=True):
    """What one item asks of Postgres without locking. Fields left None are not looked up."""

    request_id: RequestId | None = None
    offer: OfferReference | None = None
    customer_id: CustomerId | None = None
    target_id: TargetId | None = None
    product_id: ProductId | None = None
    order_ref: str | None = None


class RuleResult(msgspec.Struct, frozen=True):
    """One rule's verdict. `actual` is None where a fact is missing; `problem` then says which.

    Amounts are minor units, days are counts; `required` and `actual` are of one unit, named by
    `unit`.
    """

    rule_key: str
    rule_type: str
    passed: bool
    unit: str
    required: int | None
    actual: int | None
    problem: str | None = None


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one snapshot of Postgres says of a probe. Counts are of committed effects."""

    clock: datetime
    """The database's clock, which alone decides windows."""
    redemption: Redemption | None = None
    body_hash: bytes | None = None
    tombstoned: bool = False
    offer_id: OfferId | None = None
    offer_version: int | None = None
    """None: no such live offer."""
    product_facts_version: int = 0
    total_used: int = 0
    total_limit: int | None = None
    target_used: int = 0
    customer_used: int = 0
    per_customer_limit: int | None = None
    order_used: bool = False
    customer_refusal: Refusal | None = None
    """CUSTOMER_BLOCKED, NOT_IN_AUDIENCE or NOT_ELIGIBLE, by the facts of the snapshot."""
    rule_results: tuple[RuleResult, ...] = ()


class Counters(msgspec.Struct, frozen=True):
    """An offer's committed counters after a batch. Of two, the one with the higher `sequence` is
    newer."""

    offer_id: OfferId
    version: int
    sequence: int
    used: int
    total_limit: int | None
    per_customer_limit: int | None
    customers_used: Mapping[CustomerId, int]
    """Uses of the customers that the batch touched."""


class StaleVersion(msgspec.Struct, frozen=True):
    """The item was priced by another version of its offer, or of its product's facts: price it
    again."""

    offer_version: int | None
    product_facts_version: int | None


class RedemptionAnswer(msgspec.Struct, frozen=True):
    """One item's outcome. `replayed` tells a redemption that had been granted before."""

    outcome: Redemption | Refusal | StaleVersion
    replayed: bool = False


class BatchAnswer(msgspec.Struct, frozen=True):
    """Answers in the order of the items, and the committed counters of the offers they touched."""

    answers: tuple[RedemptionAnswer, ...]
    counters: tuple[Counters, ...]


class RedemptionStore(Protocol):
    """Postgres, the one place that grants."""

    async def redeem(self, tenant_id: TenantId, items: Sequence[RedemptionItem]) -> BatchAnswer:
        """Decide and count the items in their order, in one transaction, durably.

        Request ids must be distinct within a call. Grants happen wholly or not at all.
        Raises OutcomeUnknown when the connection was lost after the statement was sent,
        LocksTimedOut
        when locks were not to be had, DependencyUnavailable when nothing was sent or surely nothing
        happened, Defect for anything else: then nothing of the batch is committed.
        """

    async def observe(
        self, tenant_id: TenantId, probes: Sequence[Probe], *, explain: bool
    ) -> Sequence[Observation]:
        """Answer every probe by one snapshot, in order, locking nothing. `explain` fills
        rule_results."""

    async def revoke(
        self, tenant_id: TenantId, request_id: RequestId, reason: str
    ) -> tuple[Revocation, Counters | None]:
        """Give the use back, once; leave a tombstone when the request has not arrived. Idempotent.

        Also answers the offer's counters after it; None for a tombstone.
        """

    async def find(self, tenant_id: TenantId, request_id: RequestId) -> Redemption | None:
        """The redemption of the request id; None when there is none or only a tombstone."""

    async def list_page(
        self, tenant_id: TenantId, query: "RedemptionQuery"
    ) -> Sequence[Redemption]:
        """Newest first, at most `limit` rows, strictly older than `before` when it is given."""


class RedemptionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one of the first two is set; `order_ref` narrows by offer. `before` is the last row
    seen."""

    customer_id: CustomerId | None = None
    offer_id: OfferId | None = None
    order_ref: str | None = None
    before: tuple[int | datetime, RequestId] | None = None
    limit: int


class LocksTimedOut(Exception):
    """Row locks were not to be had within their bound; nothing was committed."""


class Road(IntEnum):
    """Which road an item takes: admission never says yes, and its no is confirmed by Postgres.

    The numbers are those that lua/admit.lua answers.
    """

    LIKELY = 0
    """There may be room: to the locking function."""
    TOTAL_SPENT = 1
    """Committed uses fill the total limit, as far as Redis knows: to the cheap confirmation."""
    CUSTOMER_SPENT = 2
    """Committed uses fill the customer's limit, as far as Redis knows: to the cheap
    confirmation."""


class Admission(Protocol):
    """Redis' early hint. Absent, empty, slow or wrong, it costs speed only."""

    async def sort(
        self, tenant_id: TenantId, uses: Sequence[tuple[OfferId, CustomerId]]
    ) -> Sequence[Road]:
        """A road for each use, in order; all LIKELY when Redis cannot be asked. Never raises."""

    def record(self, tenant_id: TenantId, counters: Sequence[Counters]) -> None:
        """Tell soon what is committed; the higher sequence wins. Never raises, never waits."""

    @property
    def available(self) -> bool:
        """Whether Redis answers; without it the planes work under a smaller bound of
        concurrency."""


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

    async def found(self, tenant: Tenant) -> bool:
        """Write the tenant; False when there is one of that id, which stays as it is."""

    async def list_in_directory(self, slug: str, tenant_id: TenantId) -> bool:
        """List the tenant under this name; False when the name is taken."""


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
