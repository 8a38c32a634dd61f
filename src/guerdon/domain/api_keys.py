"""API keys: `gdn_<tenant, 32 hex>_<key id, 16 hex>_<secret, 43 characters of base64url>`."""

import base64
import hmac
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from guerdon.domain.identifiers import TenantId

KEY_ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
KEY_CHARACTERS: Final = 97
NAME_CHARACTERS_MAX: Final = 100

_FORM: Final = re.compile(r"gdn_([0-9a-f]{32})_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)


class Scope(StrEnum):
    """What a key may do; each RPC names the one it needs."""

    OFFERS_READ = "offers.read"
    OFFERS_REDEEM = "offers.redeem"
    OFFERS_REVOKE = "offers.revoke"
    OFFERS_ADMIN_READ = "offers.admin.read"
    OFFERS_ADMIN_WRITE = "offers.admin.write"
    FACTS_WRITE = "facts.write"
    KEYS_MANAGE = "keys.manage"


class PresentedKey(msgspec.Struct, frozen=True):
    """What a key says of itself. Nothing of it is proved but its form."""

    tenant_id: TenantId
    key_id: str
    secret: str

    @property
    def text(self) -> str:
        """The key as callers carry it."""
        return f"{prefix(self.tenant_id, self.key_id)}_{self.secret}"


def prefix(tenant_id: TenantId, key_id: str) -> str:
    """The public beginning of a key, fit for logs."""
    return f"gdn_{tenant_id.hex}_{key_id}"


def parse_key(text: str) -> PresentedKey | None:
    """The parts of a key; None for anything that no key looks like."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    tenant, key_id, secret = found.groups()
    return PresentedKey(TenantId(UUID(tenant)), key_id, secret)


def make_key(tenant_id: TenantId, random_bytes: Callable[[int], bytes]) -> PresentedKey:
    """A new key with 256 random bits of secret."""
    secret = base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode("ascii")
    return PresentedKey(tenant_id, random_bytes(KEY_ID_BYTES).hex(), secret)


def hash_secret(pepper: bytes, secret: str) -> bytes:
    """What is kept of a secret: HMAC-SHA-256 (32 bytes) under the servers' pepper."""
    return hmac.digest(pepper, secret.encode("ascii"), "sha256")
