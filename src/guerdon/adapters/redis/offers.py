"""ports.OfferShelf on Redis: compiled live offers, sealed, so that nothing forged is ever used.

An entry is its version in 10 digits (which the script compares), a keyed hash, and the offer with
its stamp as msgpack. The hash covers tenant and offer id, so an entry that strayed to another place
is as worthless as one that was damaged. Its key is derived from a secret that all servers share.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec
from redis.asyncio import Redis

from guerdon.adapters.redis.breaker import FAILURES, Breaker
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.limits import (
    REDIS_SHELF_ITEMS_MAX,
    REDIS_SHELF_TIMEOUT_SECONDS,
    REDIS_SHELF_TTL_SECONDS,
)
from guerdon.ports import OfferStamp, StampedOffer

# Part of the key's derivation: a release that compiles offers otherwise names another form.
_FORM = b"guerdon offer shelf 1"
_VERSION_DIGITS = 10
_SEAL_BYTES = 16

_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_decode = msgspec.msgpack.Decoder(StampedOffer).decode
_SHELVE = (files("guerdon.adapters.redis") / "lua" / "shelve_offers.lua").read_text("utf-8")


class RedisOfferShelf:
    """See ports.OfferShelf. `redis` answers bytes; `secret` is at least 32 bytes."""

    def __init__(self, redis: Redis, breaker: Breaker, secret: bytes) -> None:
        self._redis = redis
        self._breaker = breaker
        self._seal_key = hmac.digest(secret, _FORM, "sha256")

    async def fetch(
        self, tenant_id: TenantId, stamps: Mapping[OfferId, OfferStamp]
    ) -> Sequence[StampedOffer]:
        """A call for each REDIS_SHELF_ITEMS_MAX offers; gives up at the first that fails."""
        offers: list[StampedOffer] = []
        for wanted in _pieces(list(stamps)):
            fields = [offer_id.bytes for offer_id in wanted]
            entries = await self._call("HMGET", _key(tenant_id), *fields)
            if not isinstance(entries, list) or len(entries) != len(wanted):
                break
            found = self._open_all(tenant_id, stamps, wanted, entries)
            offers += [stamped for stamped in found if stamped is not None]
            useless = [
                field
                for field, entry, stamped in zip(fields, entries, found, strict=True)
                if entry is not None and stamped is None
            ]
            if useless:
                # Out of the way: an entry with a wrong high version would never be replaced.
                await self._call("HDEL", _key(tenant_id), *useless)
        return offers

    async def store(self, tenant_id: TenantId, offers: Sequence[StampedOffer]) -> None:
        """A call for each REDIS_SHELF_ITEMS_MAX offers; gives up at the first that fails."""
        for piece in _pieces(offers):
            arguments: list[bytes] = []
            for stamped in piece:
                arguments += (stamped.offer.offer_id.bytes, self._seal(tenant_id, stamped))
            kept = await self._call(
                "EVAL", _SHELVE, 1, _key(tenant_id), REDIS_SHELF_TTL_SECONDS, *arguments
            )
            if kept is None:
                return

    async def _call(self, *command: Any) -> Any:
        """The reply; None when Redis failed or is left alone."""
        if not self._breaker.permits():
            return None
        try:
            async with asyncio.timeout(REDIS_SHELF_TIMEOUT_SECONDS):
                # redis-py leaves it untyped.
                reply = await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except FAILURES:
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return reply

    def _seal(self, tenant_id: TenantId, stamped: StampedOffer) -> bytes:
        body = _encode(stamped)
        version = b"%0*d" % (_VERSION_DIGITS, stamped.offer.version)
        return version + self._seal_of(tenant_id, stamped.offer.offer_id, body) + body

    def _open_all(
        self,
        tenant_id: TenantId,
        stamps: Mapping[OfferId, OfferStamp],
        wanted: Sequence[OfferId],
        entries: Sequence[Any],
    ) -> list[StampedOffer | None]:
        """For each entry its offer, or None unless it is of the wanted stamp."""
        opened = (
            self._open(tenant_id, offer_id, entry)
            for offer_id, entry in zip(wanted, entries, strict=True)
        )
        return [
            stamped if stamped is not None and stamped.stamp == stamps[offer_id] else None
            for offer_id, stamped in zip(wanted, opened, strict=True)
        ]

    def _open(self, tenant_id: TenantId, offer_id: OfferId, entry: Any) -> StampedOffer | None:
        """The offer of an entry; None for anything that this class did not seal for this place."""
        if not isinstance(entry, bytes):
            return None
        seal = entry[_VERSION_DIGITS : _VERSION_DIGITS + _SEAL_BYTES]
        body = entry[_VERSION_DIGITS + _SEAL_BYTES :]
        if not hmac.compare_digest(seal, self._seal_of(tenant_id, offer_id, body)):
            return None
        try:
            return _decode(body)
        except msgspec.DecodeError:
            return None

    def _seal_of(self, tenant_id: TenantId, offer_id: OfferId, body: bytes) -> bytes:
        return hashlib.blake2b(
            tenant_id.bytes + offer_id.bytes + body, key=self._seal_key, digest_size=_SEAL_BYTES
        ).digest()


class NoOfferShelf:
    """ports.OfferShelf without Redis: everything comes from Postgres."""

    async def fetch(
        self, _tenant_id: TenantId, _stamps: Mapping[OfferId, OfferStamp]
    ) -> Sequence[StampedOffer]:
        """Nothing."""
        return ()

    async def store(self, _tenant_id: TenantId, _offers: Sequence[StampedOffer]) -> None:
        """Nowhere."""


def _key(tenant_id: TenantId) -> str:
    return f"guerdon:{{{tenant_id.hex}}}:offers"


def _pieces(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), REDIS_SHELF_ITEMS_MAX):
        yield items[start : start + REDIS_SHELF_ITEMS_MAX]
