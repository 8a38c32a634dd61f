"""ports.RedemptionStore on Postgres: one call of one SQL function for each batch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import asyncpg

from guerdon.adapters.postgres import queries
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.redeem_arrays import REPLAYED, RedeemArrays
from guerdon.domain.errors import DependencyUnavailable, OutcomeUnknown
from guerdon.domain.identifiers import CustomerId, OfferId, ProductId, RequestId, TenantId
from guerdon.domain.redemption import (
    Line,
    Price,
    Redemption,
    RedemptionItem,
    Revocation,
    RevokeOutcome,
)
from guerdon.domain.refusals import RefusalReason
from guerdon.ports import (
    BatchAnswer,
    Counters,
    Observation,
    Probe,
    RedemptionQuery,
    RuleResult,
)


class PostgresRedemptions:
    """Redemptions in schema guerdon. See ports.RedemptionStore for the contract of each method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def redeem(self, tenant_id: TenantId, items: Sequence[RedemptionItem]) -> BatchAnswer:
        """One autocommit statement: no lock outlives it, whatever becomes of this process."""
        arrays = RedeemArrays(tenant_id, items)
        row = await self._database.call(queries.text("redeem"), *arrays.arguments())
        known = [
            item.command.request_id
            for item, outcome in zip(items, row["o_outcomes"], strict=True)
            if outcome == REPLAYED
        ]
        with _committed():
            replayed = await self._read(tenant_id, known)
        return BatchAnswer(arrays.answers(row, replayed), arrays.counters(row))

    async def observe(
        self, tenant_id: TenantId, probes: Sequence[Probe], *, explain: bool
    ) -> Sequence[Observation]:
        """One statement for all probes, and one more when some request ids are known."""
        row = await self._database.call(
            queries.text("observe"), *_observe_arguments(tenant_id, probes, explain=explain)
        )
        granted = [
            RequestId(probe.request_id)
            for probe, known in zip(probes, row["o_known"], strict=True)
            if known == 0 and probe.request_id is not None
        ]
        redemptions = await self._read(tenant_id, granted)
        return [
            _observation(row, number, probe, redemptions) for number, probe in enumerate(probes)
        ]

    async def revoke(
        self, tenant_id: TenantId, request_id: RequestId, reason: str
    ) -> tuple[Revocation, Counters | None]:
        """One autocommit statement, then the redemption as it stands."""
        row = await self._database.call(queries.text("revoke"), tenant_id, request_id, reason)
        outcome = RevokeOutcome(row["o_outcome"])
        redemption = None
        if outcome is not RevokeOutcome.TOMBSTONED:
            with _committed():
                redemption = await self.find(tenant_id, request_id)
        revocation = Revocation(request_id, outcome, row["o_revoked_at"], redemption)
        return revocation, _counters_after_revoke(row)

    async def find(self, tenant_id: TenantId, request_id: RequestId) -> Redemption | None:
        """By primary key."""
        return (await self._read(tenant_id, [request_id])).get(request_id)

    async def list_page(self, tenant_id: TenantId, query: RedemptionQuery) -> Sequence[Redemption]:
        """By an index that is in the order of the page, so that a page costs its own rows."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            if query.customer_id is not None:
                before = query.before or (None, None)
                rows = await connection.fetch(
                    queries.text("list_redemptions_by_customer"),
                    tenant_id, query.customer_id, *before, query.limit,
                )  # fmt: skip
            else:
                sequence = query.before[0] if query.before else None
                rows = await connection.fetch(
                    queries.text("list_redemptions_by_offer"),
                    tenant_id, query.offer_id, query.order_ref, sequence, query.limit,
                )  # fmt: skip
        return [_redemption(row) for row in rows]

    async def _read(
        self, tenant_id: TenantId, request_ids: Sequence[RequestId]
    ) -> dict[UUID, Redemption]:
        if not request_ids:
            return {}
        distinct = list(dict.fromkeys(request_ids))
        async with self._database.connection() as connection:
            rows = await connection.fetch(queries.text("read_redemptions"), tenant_id, distinct)
        return {row["request_id"]: _redemption(row) for row in rows}


@contextmanager
def _committed() -> Iterator[None]:
    """Behind a commit nobody may be told that nothing was done."""
    try:
        yield
    except DependencyUnavailable as error:
        raise OutcomeUnknown from error


def _observe_arguments(tenant_id: TenantId, probes: Sequence[Probe], *, explain: bool) -> list[Any]:
    return [
        tenant_id,
        [probe.request_id for probe in probes],
        [probe.offer.offer_id if probe.offer else None for probe in probes],
        [probe.offer.code if probe.offer else None for probe in probes],
        [probe.customer_id for probe in probes],
        [probe.product_id for probe in probes],
        [probe.target_id for probe in probes],
        [probe.order_ref for probe in probes],
        explain,
    ]


def _observation(
    row: asyncpg.Record, number: int, probe: Probe, redemptions: Mapping[UUID, Redemption]
) -> Observation:
    version = row["o_versions"][number]
    verdict = row["o_verdicts"][number]
    explanations = row["o_explanations"]
    return Observation(
        clock=row["o_now"],
        redemption=redemptions.get(probe.request_id) if probe.request_id else None,
        body_hash=row["o_body_hashes"][number],
        tombstoned=row["o_known"][number] == RefusalReason.REQUEST_REVOKED,
        offer_id=row["o_offers"][number] if version is not None else None,
        offer_version=version,
        product_facts_version=row["o_facts"][number],
        total_used=row["o_used"][number] or 0,
        total_limit=row["o_total_limits"][number],
        target_used=row["o_target_used"][number],
        customer_used=row["o_customer_used"][number],
        per_customer_limit=row["o_customer_limits"][number],
        order_used=row["o_order_used"][number],
        customer_refusal=RefusalReason(verdict) if verdict else None,
        rule_results=_rule_results(explanations[number] if explanations else None),
    )


def _rule_results(explanation: list[dict[str, Any]] | None) -> tuple[RuleResult, ...]:
    return tuple(RuleResult(**rule) for rule in explanation or ())


def _redemption(row: asyncpg.Record) -> Redemption:
    return Redemption(
        request_id=row["request_id"],
        position=row["position"],
        offer_id=row["offer_id"],
        offer_version=row["offer_version"],
        slot=row["slot"],
        sequence=row["sequence"],
        customer_id=row["customer_id"],
        customer_use=row["customer_use"],
        line=Line(
            product_id=None if row["product_id"] is None else ProductId(row["product_id"]),
            quantity=row["quantity"],
            unit_price_minor=row["unit_price_minor"],
        ),
        price=Price(row["list_minor"], row["discount_minor"], row["paid_minor"]),
        currency=row["currency"],
        order_ref=row["order_ref"],
        redeemed_at=row["redeemed_at"],
        revoked_at=row["revoked_at"],
        revoke_reason=row["revoke_reason"],
    )


def _counters_after_revoke(row: asyncpg.Record) -> Counters | None:
    if row["o_offer"] is None:
        return None
    return Counters(
        offer_id=OfferId(row["o_offer"]),
        version=row["o_version"],
        sequence=row["o_last_sequence"],
        used=row["o_used"],
        total_limit=row["o_total_limit"],
        per_customer_limit=row["o_customer_limit"],
        customers_used={CustomerId(row["o_customer"]): row["o_customer_used"]},
    )
