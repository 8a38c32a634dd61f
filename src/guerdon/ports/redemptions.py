"""What the data plane asks of Postgres and Redis when it decides."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Protocol

import msgspec

from guerdon.domain.identifiers import CustomerId, OfferId, ProductId, RequestId, TargetId, TenantId
from guerdon.domain.offers import OfferReference
from guerdon.domain.redemption import Redemption, RedemptionItem, Revocation
from guerdon.domain.refusals import RefusalReason


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
    customer_refusal: RefusalReason | None = None
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
    """One item's outcome. `replayed` tells a redemption that had been granted before.

    A refusal is by the offer version, and the facts version, that the item was priced by.
    """

    outcome: Redemption | RefusalReason | StaleVersion
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
