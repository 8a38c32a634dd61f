"""Tenants, offers and redemption items written straight into a test's database."""

from typing import Any
from uuid import UUID

import asyncpg
import uuid_utils.compat as uuids

from guerdon.domain.identifiers import (
    CustomerId,
    OfferId,
    ProductId,
    RequestId,
    TargetId,
    TenantId,
)
from guerdon.domain.offers import OfferReference
from guerdon.domain.redemption import (
    Line,
    Price,
    PricedLine,
    RedeemCommand,
    RedemptionItem,
)


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuids.uuid7()


async def insert_tenant(owner: asyncpg.Connection, **columns: Any) -> TenantId:
    """A tenant in NGN and UTC, unless `columns` say otherwise."""
    tenant_id = TenantId(new_id())
    values = {"tenant_id": tenant_id, "name": "Test", "currency": "NGN", **columns}
    await _insert(owner, "tenants", values)
    return tenant_id


async def insert_offer(owner: asyncpg.Connection, tenant_id: TenantId, **columns: Any) -> OfferId:
    """An active offer of 10 % for everyone and everything, with its counter, at version 1."""
    offer_id = OfferId(new_id())
    now = await owner.fetchval("select now()")
    values = {
        "tenant_id": tenant_id, "offer_id": offer_id, "version": 1, "status": "active",
        "discount_type": "percentage", "discount_bps": 1000, "currency": "NGN",
        "created_by": "test", "created_at": now, "updated_at": now, **columns,
    }  # fmt: skip
    await _insert(owner, "offers", values)
    counter = {"tenant_id": tenant_id, "offer_id": offer_id, "slot": 0, "version": 1}
    await _insert(owner, "offer_counters", counter)
    return offer_id


async def _insert(owner: asyncpg.Connection, table: str, values: dict[str, Any]) -> None:
    columns = ", ".join(values)
    places = ", ".join(f"${number + 1}" for number in range(len(values)))
    await owner.execute(
        f"insert into guerdon.{table} ({columns}) values ({places})", *values.values()
    )


def item(
    tenant_id: TenantId,
    offer_id: OfferId,
    *,
    customer_id: UUID | None = None,
    request_id: UUID | None = None,
    order_ref: str | None = None,
    version: int = 1,
    quantity: int = 1,
    unit_price_minor: int = 1000,
    product_id: UUID | None = None,
    target_id: UUID | None = None,
    target_max_uses: int | None = None,
) -> RedemptionItem:
    """An item at 10 % off, as the guards would hand it on."""
    command = RedeemCommand(
        tenant_id=tenant_id,
        request_id=RequestId(request_id or new_id()),
        offer=OfferReference(offer_id=offer_id),
        customer_id=CustomerId(customer_id or new_id()),
        line=Line(
            None if product_id is None else ProductId(product_id), quantity, unit_price_minor
        ),
        currency="NGN",
        order_ref=order_ref,
    )
    listed = quantity * unit_price_minor
    price = Price(listed, listed // 10, listed - listed // 10)
    target = None if target_id is None else TargetId(target_id)
    priced = PricedLine(price, target, target_max_uses)
    return RedemptionItem(command, command.body_hash(), offer_id, version, priced)


async def counters(owner: asyncpg.Connection, offer_id: OfferId) -> asyncpg.Record:
    """The counter row, beside what the redemption rows say it should be."""
    row = await owner.fetchrow(
        """
        select c.used, c.spent_minor, c.last_sequence,
          (select count(*) from guerdon.redemptions r
           where r.offer_id = c.offer_id and r.revoked_at is null) as live_rows,
          (select coalesce(sum(r.discount_minor), 0) from guerdon.redemptions r
           where r.offer_id = c.offer_id and r.revoked_at is null) as live_discount,
          (select count(*) from guerdon.redemptions r where r.offer_id = c.offer_id)
          + (select count(*) from guerdon.offer_effects e where e.offer_id = c.offer_id) as effects
        from guerdon.offer_counters c where c.offer_id = $1
        """,
        offer_id,
    )
    assert row is not None
    return row
