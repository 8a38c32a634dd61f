"""Offers: create, read, list, edit, change status.

Every write is one transaction under the offer's lock and is answered only after its commit, so it
is a barrier: a redemption that waited for the lock sees the new version. See ports.OfferStore.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from guerdon.domain import paging
from guerdon.domain.errors import (
    Conflict,
    EtagMismatch,
    FieldsInvalid,
    FieldViolation,
    NotFound,
    OfferInvalid,
)
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.domain.life_cycle import check_transition
from guerdon.domain.offer_compilation import compile_offer
from guerdon.domain.offer_validation import validate_activation, validate_draft
from guerdon.domain.offers import (
    REDEEMABLE_STATUSES,
    AudienceMode,
    OfferDraft,
    OfferStatus,
)
from guerdon.domain.tenants import Tenant
from guerdon.domain.written_offers import WrittenOffer, write_offer
from guerdon.limits import EDIT_ATTEMPTS_MAX
from guerdon.ports import (
    Change,
    ChangeKind,
    ChangePublisher,
    LocksTimedOut,
    OfferCatalogue,
    OfferRecord,
    OfferStore,
    VersionPassed,
)

EDITABLE_FIELDS: Final = frozenset(WrittenOffer.__struct_fields__) - {"status"}
_ETAG_CHARACTERS: Final = 22


class OfferView(msgspec.Struct, frozen=True):
    """An offer as an admin sees it: as written, and what the system adds."""

    record: OfferRecord
    written: WrittenOffer

    @property
    def offer_id(self) -> OfferId:
        """The offer's id."""
        return self.record.draft.offer.offer_id

    @property
    def version(self) -> int:
        """Counted from 1."""
        return self.record.draft.offer.version

    @property
    def etag(self) -> str:
        """Names this version of this offer."""
        return _etag(self.record)


class OfferPage(msgspec.Struct, frozen=True):
    """One page, newest first; `next_page_token` is empty on the last."""

    offers: Sequence[OfferView]
    next_page_token: str


class _OfferList(msgspec.Struct, frozen=True):
    """The query that a page token continues."""

    tenant_id: TenantId
    status: OfferStatus | None


class _LastOffer(msgspec.Struct, frozen=True):
    """The last row of a page."""

    created_at: datetime
    offer_id: UUID


class Offers:
    """The control plane of all tenants' offers.

    Besides what each method names, all raise NotFound("tenant") and the errors of ports.OfferStore.
    """

    def __init__(
        self,
        store: OfferStore,
        catalogue: OfferCatalogue,
        publisher: ChangePublisher,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._publisher = publisher
        self._now = now
        self._new_id = new_id

    async def create(
        self,
        tenant_id: TenantId,
        written: WrittenOffer,
        created_by: str,
        offer_id: OfferId | None = None,
    ) -> OfferView:
        """A new offer, of the wanted id where one is given.

        Raises FieldsInvalid, StatusTransitionIllegal for a status that no draft steps to,
        OfferInvalid when it shall be live and could not be redeemed, CodeAlreadyUsed,
        OfferAlreadyExists.
        """
        tenant = await self._catalogue.tenant(tenant_id)
        draft = compile_offer(written, tenant, offer_id or OfferId(self._new_id()))
        check_transition(OfferStatus.DRAFT, draft.offer.status)
        self._refuse_unreachable(draft)
        try:
            record = await self._store.create(draft, created_by)
        except LocksTimedOut as error:
            raise Conflict from error
        return await self._announced(record, tenant)

    async def get(self, tenant_id: TenantId, offer_id: OfferId) -> OfferView:
        """Raises NotFound("offer")."""
        return _view(await self._find(tenant_id, offer_id), await self._catalogue.tenant(tenant_id))

    async def list_page(
        self, tenant_id: TenantId, status: OfferStatus | None, page_rows: int, page_token: str
    ) -> OfferPage:
        """At most `page_rows`. Raises PageTokenInvalid for a token of another list."""
        tenant = await self._catalogue.tenant(tenant_id)
        query = _OfferList(tenant_id, status)
        before = None
        if page_token:
            last = paging.read_token(page_token, query, _LastOffer)
            before = (last.created_at, OfferId(last.offer_id))
        records = await self._store.list_page(tenant_id, status, before, page_rows + 1)
        shown = records[:page_rows]
        token = ""
        if len(records) > page_rows:
            end = shown[-1]
            token = paging.write_token(query, _LastOffer(end.created_at, end.draft.offer.offer_id))
        return OfferPage([_view(record, tenant) for record in shown], token)

    async def update(
        self,
        tenant_id: TenantId,
        offer_id: OfferId,
        written: WrittenOffer,
        fields: Sequence[str],
        etag: str,
        changed_by: str,
    ) -> OfferView:
        """Set the named fields as `written` has them; an empty etag takes the offer as it is.

        Raises NotFound("offer"), EtagMismatch, FieldsInvalid, CodeAlreadyUsed, Conflict, and
        OfferInvalid for a live offer that could then not be redeemed any more.
        """
        _refuse_fields(fields)
        tenant = await self._catalogue.tenant(tenant_id)

        def edit(current: OfferDraft) -> OfferDraft:
            merged = _merge(write_offer(current, tenant), written, fields)
            draft = compile_offer(merged, tenant, offer_id, current.offer.version)
            self._refuse_unreachable(draft, current)
            return draft

        return await self._edit(tenant, offer_id, etag, changed_by, edit)

    async def change_status(
        self,
        tenant_id: TenantId,
        offer_id: OfferId,
        status: OfferStatus,
        etag: str,
        changed_by: str,
    ) -> OfferView:
        """Move the offer on in its life cycle; the status that it has already is no change.

        Raises NotFound("offer"), EtagMismatch, StatusTransitionIllegal, Conflict, and OfferInvalid
        with everything that keeps it from going live.
        """
        tenant = await self._catalogue.tenant(tenant_id)

        def edit(current: OfferDraft) -> OfferDraft:
            check_transition(current.offer.status, status, offer_id)
            offer = msgspec.structs.replace(current.offer, status=status)
            draft = msgspec.structs.replace(current, offer=offer)
            if status in REDEEMABLE_STATUSES and current.offer.status is not status:
                wrong = [*validate_draft(draft, tenant), *validate_activation(draft, self._now())]
                if wrong:
                    raise OfferInvalid(wrong, offer_id)
            return draft

        return await self._edit(tenant, offer_id, etag, changed_by, edit)

    async def _edit(
        self,
        tenant: Tenant,
        offer_id: OfferId,
        etag: str,
        changed_by: str,
        edit: Callable[[OfferDraft], OfferDraft],
    ) -> OfferView:
        """Read, edit, write the next version; once more where somebody else was faster."""
        for _ in range(EDIT_ATTEMPTS_MAX):
            current = await self._find(tenant.tenant_id, offer_id)
            if etag and etag != _etag(current):
                raise EtagMismatch(offer_id)
            draft = edit(current.draft)
            if draft == current.draft:
                return _view(current, tenant)
            try:
                record = await self._store.replace(draft, current=current, changed_by=changed_by)
            except VersionPassed:
                continue
            except LocksTimedOut as error:
                raise Conflict from error
            return await self._announced(record, tenant)
        raise Conflict

    async def _find(self, tenant_id: TenantId, offer_id: OfferId) -> OfferRecord:
        record = await self._store.find(tenant_id, offer_id)
        if record is None:
            raise NotFound("offer", offer_id)
        return record

    async def _announced(self, record: OfferRecord, tenant: Tenant) -> OfferView:
        offer = record.draft.offer
        change = Change(ChangeKind.OFFER, offer.tenant_id, str(offer.offer_id), offer.version)
        await self._publisher.publish([change])
        return _view(record, tenant)

    def _refuse_unreachable(self, draft: OfferDraft, current: OfferDraft | None = None) -> None:
        """Refuse what makes a live offer unredeemable, but not what was so before the edit."""
        if draft.offer.status not in REDEEMABLE_STATUSES:
            return
        now = self._now()
        before = [] if current is None else validate_activation(current, now)
        wrong = [one for one in validate_activation(draft, now) if one not in before]
        if wrong:
            raise OfferInvalid(wrong, None if current is None else draft.offer.offer_id)


def _view(record: OfferRecord, tenant: Tenant) -> OfferView:
    return OfferView(record, write_offer(record.draft, tenant))


def _etag(record: OfferRecord) -> str:
    """Of the version and the time of its writing, as a version number alone may come again."""
    offer = record.draft.offer
    said = f"{offer.offer_id} {offer.version} {record.updated_at.isoformat()}"
    return hashlib.sha256(said.encode()).hexdigest()[:_ETAG_CHARACTERS]


def _refuse_fields(fields: Sequence[str]) -> None:
    unknown = [name for name in fields if name not in EDITABLE_FIELDS]
    if unknown:
        description = f"names what cannot be changed: {', '.join(sorted(unknown))[:200]}"
        raise FieldsInvalid([FieldViolation("update_mask", description)])


def _merge(current: WrittenOffer, written: WrittenOffer, fields: Sequence[str]) -> WrittenOffer:
    """`current` with the named fields of `written`, and what follows from them left to follow."""
    changes = {name: getattr(written, name) for name in fields}
    if "product_ids" in changes:
        # Two spellings of one list: whichever is named replaces all of it.
        changes.setdefault("products", ())
    if "discount_type" in changes:
        changes.setdefault("kind", "")
    lists_people = "allowed_customer_ids" in changes or "allowed_roles" in changes
    if lists_people and current.audience_mode == AudienceMode.EVERYONE:
        # Only this way round: emptying the lists must not open the offer to everyone.
        changes.setdefault("audience_mode", "")
    return msgspec.structs.replace(current, **changes)
