"""Seed the demo tenant, once: a second run changes nothing."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from guerdon.controlplane import demo
from guerdon.controlplane.api_keys import ApiKeys
from guerdon.controlplane.offers import Offers
from guerdon.controlplane.push_facts import PushFacts
from guerdon.domain.api_keys import Scope
from guerdon.domain.errors import CodeAlreadyUsed, OfferAlreadyExists, TransactionConflict
from guerdon.domain.identifiers import TenantId
from guerdon.limits import PAGE_ROWS_MAX
from guerdon.ports import TenantStore

KEY_NAME: Final = "demo"
_ACTOR: Final = "seed"


class Seeded(msgspec.Struct, frozen=True):
    """`api_key` is the whole key, with every scope, when this run made it; otherwise None, because
    a key can be shown only once."""

    tenant_id: TenantId
    api_key: str | None


class SeedDemo:
    """Founds the demo tenant with products, customers, transactions, offers and a key."""

    def __init__(
        self,
        tenants: TenantStore,
        offers: Offers,
        facts: PushFacts,
        keys: ApiKeys,
        now: Callable[[], datetime],
    ) -> None:
        self._tenants = tenants
        self._offers = offers
        self._facts = facts
        self._keys = keys
        self._now = now

    async def __call__(self, *, new_key: bool = False) -> Seeded:
        """`new_key` makes another key where there is one, for who has lost it.

        The directory's entry is written last, so a run that was killed is taken up by the next.
        """
        tenant_id = await self._tenants.find_by_slug(demo.SLUG)
        if tenant_id is None:
            tenant_id = demo.TENANT.tenant_id
            await self._tenants.found(demo.TENANT)
            await self._push_facts(tenant_id)
            await self._create_offers(tenant_id)
            await self._tenants.list_in_directory(demo.SLUG, tenant_id)
        if not new_key and await self._has_key(tenant_id):
            return Seeded(tenant_id, None)
        made = await self._keys.create(tenant_id, KEY_NAME, list(Scope))
        return Seeded(tenant_id, made.secret)

    async def _push_facts(self, tenant_id: TenantId) -> None:
        now = self._now()
        await self._facts.push_operators(tenant_id, demo.OPERATORS)
        await self._facts.push_products(tenant_id, demo.PRODUCTS)
        await self._facts.push_suppliers(tenant_id, demo.SUPPLIERS)
        await self._facts.push_customers(tenant_id, demo.customers(now))
        try:
            await self._facts.push_transactions(tenant_id, demo.transactions(now))
        except TransactionConflict:
            # A run that was killed pushed them, at its own time: they are there, which is enough.
            return

    async def _create_offers(self, tenant_id: TenantId) -> None:
        for offer_id, written in demo.offers(self._now()).items():
            try:
                await self._offers.create(tenant_id, written, _ACTOR, offer_id)
            except (OfferAlreadyExists, CodeAlreadyUsed):
                continue

    async def _has_key(self, tenant_id: TenantId) -> bool:
        page = await self._keys.list_page(tenant_id, PAGE_ROWS_MAX, "")
        return any(key.name == KEY_NAME and key.revoked_at is None for key in page.keys)
