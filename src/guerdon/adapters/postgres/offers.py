"""ports.OfferStore on Postgres: an edit is one call of one SQL function."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from guerdon.adapters.postgres import queries
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.errors import OFFER_CODES, NameTaken
from guerdon.domain.errors import CodeAlreadyUsed, GuerdonError, NotFound, OfferAlreadyExists
from guerdon.domain.identifiers import CustomerId, OfferId, TargetId, TenantId
from guerdon.domain.offers import Offer, OfferDraft, OfferStatus
from guerdon.limits import EDIT_LOCK_TIMEOUT_MILLISECONDS
from guerdon.ports import OfferRecord, VersionPassed


class _Details(msgspec.Struct, frozen=True):
    """The `record` of read_offers_v1."""

    allowed_customers: tuple[CustomerId, ...]
    allowed_roles: tuple[str, ...]
    internal_note: str
    used: int
    targets_used: Mapping[UUID, int]
    created_by: str
    created_at: datetime


class _Row(msgspec.Struct, frozen=True):
    """One element of what read_offers_v1 answers with p_whole."""

    offer: Offer
    updated_at: datetime
    record: _Details


_rows = msgspec.json.Decoder(list[_Row])


class PostgresOffers:
    """Offers in schema guerdon. See ports.OfferStore for the contract of each method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: TenantId, offer_id: OfferId) -> OfferRecord | None:
        records = await self._read(tenant_id, [offer_id])
        return records.get(offer_id)

    async def list_page(
        self,
        tenant_id: TenantId,
        status: OfferStatus | None,
        before: tuple[datetime, OfferId] | None,
        limit: int,
    ) -> Sequence[OfferRecord]:
        async with self._database.tenant_transaction(tenant_id) as connection:
            rows = await connection.fetch(
                queries.text("list_offers"), tenant_id, status, *(before or (None, None)), limit
            )
        offer_ids = [OfferId(row["offer_id"]) for row in rows]
        records = await self._read(tenant_id, offer_ids)
        return [records[offer_id] for offer_id in offer_ids if offer_id in records]

    async def create(self, draft: OfferDraft, created_by: str) -> OfferRecord:
        draft = _as_read(draft, 1)
        row = await self._write(draft, lists_changed=True, changed_by=created_by)
        return OfferRecord(
            draft=draft,
            created_by=created_by,
            created_at=row["o_updated_at"],
            updated_at=row["o_updated_at"],
        )

    async def replace(
        self, draft: OfferDraft, *, current: OfferRecord, changed_by: str
    ) -> OfferRecord:
        draft = _as_read(draft, current.draft.offer.version + 1)
        changed = _lists_differ(draft, current.draft)
        row = await self._write(draft, lists_changed=changed, changed_by=changed_by)
        if row["o_version"] is None:
            raise NotFound("offer", draft.offer.offer_id)
        if not row["o_written"]:
            raise VersionPassed
        return msgspec.structs.replace(current, draft=draft, updated_at=row["o_updated_at"])

    async def _write(
        self, draft: OfferDraft, *, lists_changed: bool, changed_by: str
    ) -> asyncpg.Record:
        """The answer of write_offer_v1."""
        try:
            row: asyncpg.Record = await self._database.call(
                queries.text("write_offer"),
                draft.offer.tenant_id,
                draft,
                draft.offer.code_normalised,
                draft.offer.version - 1,
                lists_changed,
                changed_by,
                EDIT_LOCK_TIMEOUT_MILLISECONDS,
            )
        except NameTaken as taken:
            raise _name_taken(taken, draft.offer) from taken
        return row

    async def _read(
        self, tenant_id: TenantId, offer_ids: Sequence[OfferId]
    ) -> dict[OfferId, OfferRecord]:
        row = await self._database.call(
            queries.text("read_offers"), tenant_id, offer_ids, None, True
        )
        records = map(_record, _rows.decode(row["o_offers"]))
        return {record.draft.offer.offer_id: record for record in records}


def _name_taken(taken: NameTaken, offer: Offer) -> GuerdonError:
    if taken.constraint == OFFER_CODES:
        return CodeAlreadyUsed(offer.code or "")
    return OfferAlreadyExists(offer.offer_id)


def _record(row: _Row) -> OfferRecord:
    details = row.record
    draft = OfferDraft(
        offer=row.offer,
        allowed_customers=details.allowed_customers,
        allowed_roles=details.allowed_roles,
        internal_note=details.internal_note,
    )
    return OfferRecord(
        draft=draft,
        used=details.used,
        targets_used={TargetId(target): used for target, used in details.targets_used.items()},
        created_by=details.created_by,
        created_at=details.created_at,
        updated_at=row.updated_at,
    )


def _as_read(draft: OfferDraft, version: int) -> OfferDraft:
    """The draft as reading that version will give it: what has no order of its own is sorted."""
    targets = tuple(sorted(draft.offer.targets, key=lambda target: target.target_id))
    return msgspec.structs.replace(
        draft,
        offer=msgspec.structs.replace(draft.offer, version=version, targets=targets),
        allowed_customers=tuple(sorted(draft.allowed_customers)),
        allowed_roles=tuple(sorted(draft.allowed_roles)),
    )


def _lists_differ(draft: OfferDraft, current: OfferDraft) -> bool:
    """Whether any row but the offer's own changes: a mere pause keeps the lock for less long."""
    return (
        draft.offer.targets != current.offer.targets
        or draft.offer.rules != current.offer.rules
        or draft.offer.translations != current.offer.translations
        or draft.offer.buy_get != current.offer.buy_get
        or draft.allowed_customers != current.allowed_customers
        or draft.allowed_roles != current.allowed_roles
    )
