"""Found a tenant: its settings, and the name under which the directory lists it."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Final
from uuid import UUID

import msgspec

from guerdon.domain.errors import FieldsInvalid, FieldViolation
from guerdon.domain.identifiers import TenantId
from guerdon.domain.money import EXPONENTS
from guerdon.domain.tenants import PriceSource, Rounding, Tenant
from guerdon.domain.text import has_invisible, is_locale, shorten
from guerdon.ports import TenantStore

NAME_CHARACTERS_MAX: Final = 200
# As the directory's constraint has it.
_SLUG_FORM: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class NewTenant(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted. Currency and time zone stay for ever: prices and rules rest on them."""

    slug: str
    name: str
    currency: str
    time_zone: str
    rounding: Rounding = Rounding.HALF_UP
    price_source: PriceSource = PriceSource.CALLER
    stock_limits: bool = False
    default_locale: str = "en"


class FoundTenant:
    """Founds tenants in one transaction each."""

    def __init__(self, store: TenantStore, new_id: Callable[[], UUID]) -> None:
        self._store = store
        self._new_id = new_id

    async def __call__(self, wanted: NewTenant) -> TenantId:
        """The new tenant's id. Raises FieldsInvalid with all that is wrong, also for a slug that
        is taken, and the errors of ports.TenantStore."""
        violations = [violation async for violation in self._violations(wanted)]
        if violations:
            raise FieldsInvalid(violations)
        tenant = Tenant(
            tenant_id=TenantId(self._new_id()),
            name=wanted.name.strip(),
            currency=wanted.currency,
            time_zone=wanted.time_zone,
            rounding=wanted.rounding,
            price_source=wanted.price_source,
            stock_limits=wanted.stock_limits,
            default_locale=wanted.default_locale,
        )
        if not await self._store.found_listed(tenant, wanted.slug):
            raise FieldsInvalid([FieldViolation("slug", f"{wanted.slug} is taken")])
        return tenant.tenant_id

    async def _violations(self, wanted: NewTenant) -> AsyncIterator[FieldViolation]:
        if not _SLUG_FORM.fullmatch(wanted.slug):
            yield FieldViolation(
                "slug", "must be 1 to 63 of a-z, 0-9 and -, and not begin with a -"
            )
        name = wanted.name.strip()
        if not name or len(name) > NAME_CHARACTERS_MAX or has_invisible(name):
            yield FieldViolation("name", f"must be 1 to {NAME_CHARACTERS_MAX} visible characters")
        if wanted.currency not in EXPONENTS:
            yield FieldViolation(
                "currency", f"{shorten(wanted.currency)} is no ISO 4217 code such as NGN"
            )
        if not is_locale(wanted.default_locale):
            yield FieldViolation("locale", "must be a BCP 47 tag such as ar or pt-BR")
        # Text with a NUL or half a surrogate pair cannot be asked about.
        zone = wanted.time_zone
        if has_invisible(zone) or not await self._store.knows_time_zone(zone):
            yield FieldViolation(
                "time_zone", f"{shorten(zone)} is no IANA time zone such as Africa/Lagos"
            )
