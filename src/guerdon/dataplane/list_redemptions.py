"""ListRedemptions: pages of redemptions of a customer, an offer or an order."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from guerdon.domain import paging
from guerdon.domain.identifiers import CustomerId, OfferId, RequestId, TenantId
from guerdon.domain.redemption import Redemption
from guerdon.ports import RedemptionQuery, RedemptionStore


class RedemptionFilter(msgspec.Struct, frozen=True):
    """What the redemptions have in common: a customer, an offer, or an offer and an order."""

    customer_id: CustomerId | None = None
    offer_id: OfferId | None = None
    order_ref: str | None = None


class RedemptionPage(msgspec.Struct, frozen=True):
    """One page, newest first; `next_page_token` is empty on the last."""

    redemptions: Sequence[Redemption]
    next_page_token: str


class _ByOffer(msgspec.Struct):
    """The last row of a page of an offer."""

    sequence: int
    request_id: UUID


class _ByCustomer(msgspec.Struct):
    """The last row of a page of a customer."""

    redeemed_at: datetime
    request_id: UUID


class ListRedemptions:
    """Reads Postgres, a page at a time."""

    def __init__(self, store: RedemptionStore) -> None:
        self._store = store

    async def __call__(
        self, tenant_id: TenantId, wanted: RedemptionFilter, page_rows: int, page_token: str
    ) -> RedemptionPage:
        """At most `page_rows`. Raises PageTokenInvalid for a token of another list or filter."""
        position = _ByOffer if wanted.customer_id is None else _ByCustomer
        last = paging.read_token(page_token, wanted, position) if page_token else None
        before: tuple[int | datetime, RequestId] | None = None
        if isinstance(last, _ByOffer):
            before = (last.sequence, RequestId(last.request_id))
        elif isinstance(last, _ByCustomer):
            before = (last.redeemed_at, RequestId(last.request_id))
        rows = await self._store.list_page(
            tenant_id,
            RedemptionQuery(
                customer_id=wanted.customer_id,
                offer_id=wanted.offer_id,
                order_ref=wanted.order_ref,
                before=before,
                limit=page_rows + 1,
            ),
        )
        return RedemptionPage(rows[:page_rows], _next_token(rows, page_rows, wanted))


def _next_token(rows: Sequence[Redemption], page_rows: int, wanted: RedemptionFilter) -> str:
    if len(rows) <= page_rows:
        return ""
    last = rows[page_rows - 1]
    position: _ByOffer | _ByCustomer
    if wanted.customer_id is None:
        position = _ByOffer(last.sequence, last.request_id)
    else:
        position = _ByCustomer(last.redeemed_at, last.request_id)
    return paging.write_token(wanted, position)
