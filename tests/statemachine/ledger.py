"""The tables of one tenant, held against the model."""

from typing import Any

import asyncpg

from guerdon.domain.identifiers import TenantId
from tests.statemachine.model import Model, Offer

COUNTERS_QUERY = """
    select c.offer_id::text, c.version, c.used, c.spent_minor, c.last_sequence
    from guerdon.offer_counters c where c.tenant_id = $1
"""
CUSTOMERS_QUERY = """
    select offer_id::text, customer_id::text, used, last_use
    from guerdon.offer_customer_usage where tenant_id = $1
"""
EFFECTS_QUERY = """
    select offer_id::text, sequence, kind, coalesce(request_id::text, '')
    from guerdon.offer_effects where tenant_id = $1
"""
ROWS_QUERY = """
    select r.request_id::text, r.offer_id::text, r.sequence, l.quantity, r.paid_minor, l.paid_minor,
           r.revoked_at is not null
    from guerdon.redemptions r
    left join guerdon.redemption_lines l using (tenant_id, request_id, position)
    where r.tenant_id = $1
"""


async def assert_ledger(owner: asyncpg.Connection, tenant_id: TenantId, model: Model) -> None:
    """Every counter, number and row is as the model has it, and there are no others."""
    for query, expected in (
        (COUNTERS_QUERY, [_counters(model, offer) for offer in model.offers.values()]),
        (CUSTOMERS_QUERY, _customers(model)),
        (EFFECTS_QUERY, _effects(model)),
        (ROWS_QUERY, _rows(model)),
    ):
        rows = await owner.fetch(query, tenant_id)
        assert {tuple(row.values()) for row in rows} == set(expected)
        assert len(rows) == len(expected)


def _counters(model: Model, offer: Offer) -> tuple[Any, ...]:
    live = model.live_rows(offer.offer_id)
    spent = sum(row.fields["line"]["discount_minor"] for row in live)
    return offer.offer_id, offer.version, len(live), spent, offer.last_sequence


def _customers(model: Model) -> list[tuple[Any, ...]]:
    pairs = {(row.body.offer_id, row.body.customer_id) for row in model.rows.values()}
    return [
        (
            offer_id,
            customer_id,
            sum(row.body.customer_id == customer_id for row in model.live_rows(offer_id)),
            model.uses_ever(offer_id, customer_id),
        )
        for offer_id, customer_id in pairs
    ]


def _effects(model: Model) -> list[tuple[Any, ...]]:
    edits = [
        (offer.offer_id, sequence, "edited", "")
        for offer in model.offers.values()
        for sequence in offer.edits
    ]
    revokes = [
        (row.body.offer_id, row.revoke_sequence, "revoked", row.fields["request_id"])
        for row in model.rows.values()
        if not row.is_live
    ]
    return edits + revokes


def _rows(model: Model) -> list[tuple[Any, ...]]:
    redemptions = [
        (
            request_id,
            row.body.offer_id,
            row.fields["sequence"],
            row.body.quantity,
            row.fields["line"]["paid_minor"],
            row.fields["line"]["paid_minor"],
            not row.is_live,
        )
        for request_id, row in model.rows.items()
    ]
    tombstones = [(request_id, *[None] * 5, True) for request_id in model.tombstones]
    return redemptions + tombstones
