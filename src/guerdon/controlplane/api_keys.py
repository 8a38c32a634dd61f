"""API keys: make, list, revoke. A key's secret is answered once, when it is made."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from guerdon.domain import paging
from guerdon.domain.api_keys import NAME_CHARACTERS_MAX, Scope, hash_secret, make_key
from guerdon.domain.errors import FieldsInvalid, FieldViolation, NotFound
from guerdon.domain.identifiers import TenantId
from guerdon.domain.text import has_invisible
from guerdon.ports import (
    ApiKey,
    ApiKeyStore,
    Change,
    ChangeKind,
    ChangePublisher,
    ExpiryPassed,
)


class NewApiKey(msgspec.Struct, frozen=True):
    """A key and its secret, which cannot be shown again."""

    key: ApiKey
    secret: str


class ApiKeyPage(msgspec.Struct, frozen=True):
    """One page, newest first; `next_page_token` is empty on the last."""

    keys: Sequence[ApiKey]
    next_page_token: str


class _ApiKeyList(msgspec.Struct, frozen=True):
    """The query that a page token continues."""

    tenant_id: TenantId


class _LastApiKey(msgspec.Struct, frozen=True):
    """The last row of a page."""

    created_at: datetime
    key_id: str


class ApiKeys:
    """The control plane of all tenants' keys. All methods raise the errors of ports.ApiKeyStore."""

    def __init__(
        self,
        store: ApiKeyStore,
        publisher: ChangePublisher,
        pepper: bytes,
        now: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._pepper = pepper
        self._now = now
        self._random_bytes = random_bytes

    async def create(
        self,
        tenant_id: TenantId,
        name: str,
        scopes: Sequence[str],
        expires_at: datetime | None = None,
    ) -> NewApiKey:
        """A new key. Raises FieldsInvalid; a time of expiry must lie in the future."""
        violations = _violations(name, scopes)
        if violations:
            raise FieldsInvalid(violations)
        made = make_key(tenant_id, self._random_bytes)
        key = ApiKey(
            tenant_id=tenant_id,
            key_id=made.key_id,
            name=name.strip(),
            scopes=tuple(sorted(set(scopes))),
            created_at=self._now(),
            expires_at=expires_at,
        )
        try:
            key = await self._store.create(key, hash_secret(self._pepper, made.secret))
        except ExpiryPassed as error:
            wrong = FieldViolation("expire_time", "must lie in the future")
            raise FieldsInvalid([wrong]) from error
        return NewApiKey(key, made.text)

    async def list_page(self, tenant_id: TenantId, page_rows: int, page_token: str) -> ApiKeyPage:
        """At most `page_rows`. Raises PageTokenInvalid for a token of another list."""
        query = _ApiKeyList(tenant_id)
        before = None
        if page_token:
            last = paging.read_token(page_token, query, _LastApiKey)
            before = (last.created_at, last.key_id)
        keys = await self._store.list_page(tenant_id, before, page_rows + 1)
        shown, token = keys[:page_rows], ""
        if len(keys) > page_rows:
            token = paging.write_token(query, _LastApiKey(shown[-1].created_at, shown[-1].key_id))
        return ApiKeyPage(shown, token)

    async def revoke(self, tenant_id: TenantId, key_id: str) -> ApiKey:
        """End the key; ending it again changes nothing. Raises NotFound("api_key")."""
        key = await self._store.revoke(tenant_id, key_id)
        if key is None:
            raise NotFound("api_key", key_id)
        await self._publisher.publish([Change(ChangeKind.KEY, tenant_id, key_id, 0)])
        return key


def _violations(name: str, scopes: Sequence[str]) -> list[FieldViolation]:
    violations = []
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or has_invisible(name):
        violations.append(
            FieldViolation("name", f"must be 1 to {NAME_CHARACTERS_MAX} visible characters")
        )
    if not scopes:
        violations.append(FieldViolation("scopes", "at least one is required"))
    known = set(Scope)
    violations += [
        FieldViolation(f"scopes[{index}]", "is not known")
        for index, scope in enumerate(scopes)
        if scope not in known
    ]
    return violations
