"""ports.Admission on Redis: a hint per use, and what is committed told back.

One EVALSHA an offer, all of a batch in one pipeline. Redis is given REDIS_TIMEOUT_SECONDS; when it
fails, a breaker leaves it alone for REDIS_RETRY_SECONDS and every use is likely meanwhile.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from guerdon.adapters.redis.breaker import FAILURES, Breaker
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.limits import REDIS_COUNTERS_TTL_SECONDS, REDIS_TIMEOUT_SECONDS
from guerdon.ports import Counters, Road

_LUA = files("guerdon.adapters.redis") / "lua"
_DIGEST_BYTES = 12


class _Script:
    """A Lua file and the name Redis knows it by."""

    def __init__(self, name: str) -> None:
        self.text = (_LUA / f"{name}.lua").read_text(encoding="utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_ADMIT = _Script("admit")
_RECORD = _Script("record")


class RedisAdmission:
    """See ports.Admission. Nothing here raises: what Redis does not answer is likely."""

    def __init__(self, redis: Redis, breaker: Breaker) -> None:
        self._redis = redis
        self._breaker = breaker
        self._nonces = itertools.count()
        self._unrecorded: dict[tuple[TenantId, OfferId], Counters] = {}
        self._recorder: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether the breaker lets calls through."""
        return not self._breaker.is_open

    async def sort(
        self, tenant_id: TenantId, uses: Sequence[tuple[OfferId, CustomerId]]
    ) -> Sequence[Road]:
        """One round trip for all offers of the uses."""
        by_offer: dict[OfferId, list[int]] = {}
        for number, (offer_id, _) in enumerate(uses):
            by_offer.setdefault(offer_id, []).append(number)
        nonce = str(next(self._nonces)).encode()
        calls = [
            _call(
                _ADMIT, tenant_id, offer_id, [nonce, *(_digest(uses[number]) for number in numbers)]
            )
            for offer_id, numbers in by_offer.items()
        ]
        roads = [Road.LIKELY] * len(uses)
        replies = await self._run(_ADMIT, calls, lambda reply: bool(reply[0] == nonce))
        for numbers, reply in zip(by_offer.values(), replies, strict=False):
            for number, road in zip(numbers, reply[1:], strict=True):
                roads[number] = Road(road)
        return roads

    def record(self, tenant_id: TenantId, counters: Sequence[Counters]) -> None:
        """Counters that come while a telling is under way go with the next, merged by offer."""
        for told in counters:
            key = (tenant_id, told.offer_id)
            self._unrecorded[key] = _merged(self._unrecorded.get(key), told)
        if self._unrecorded and self._recorder is None:
            self._recorder = asyncio.create_task(self._record_all())

    async def close(self) -> None:
        """Wait until what is to be told is told, or given up."""
        if self._recorder is not None:
            await self._recorder

    async def _record_all(self) -> None:
        try:
            while self._unrecorded:
                telling, self._unrecorded = self._unrecorded, {}
                calls = [_record_call(tenant, told) for (tenant, _), told in telling.items()]
                await self._run(_RECORD, calls, lambda reply: reply in (0, 1))
        finally:
            self._recorder = None

    async def _run(
        self, script: _Script, calls: Sequence[list[Any]], is_ours: Callable[[Any], bool]
    ) -> Sequence[Any]:
        """The replies in order; none at all when Redis failed or answered somebody else's call."""
        if not calls or not self._breaker.permits():
            return ()
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                replies = await self._evaluate(script, calls)
        except FAILURES:
            self._breaker.failed()
            return ()
        if not all(is_ours(reply) for reply in replies):
            # The connection is out of step with us; another caller's answer must never pass.
            self._breaker.failed()
            await self._redis.connection_pool.disconnect()
            return ()
        self._breaker.succeeded()
        return replies

    async def _evaluate(self, script: _Script, calls: Sequence[list[Any]]) -> list[Any]:
        try:
            return await self._pipeline(calls)
        except NoScriptError:
            await self._redis.script_load(script.text)
            return await self._pipeline(calls)

    async def _pipeline(self, calls: Sequence[list[Any]]) -> list[Any]:
        if len(calls) == 1:
            execute: Any = self._redis.execute_command
            return [await execute(*calls[0])]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command(*call)
            return await pipeline.execute()


class NoAdmission:
    """ports.Admission without Redis: every use is likely."""

    available = False

    async def sort(
        self, _tenant_id: TenantId, uses: Sequence[tuple[OfferId, CustomerId]]
    ) -> Sequence[Road]:
        """To the locking function, all of them."""
        return [Road.LIKELY] * len(uses)

    def record(self, _tenant_id: TenantId, _counters: Sequence[Counters]) -> None:
        """Nowhere."""


def _digest(use: tuple[OfferId, CustomerId]) -> bytes:
    """A customer as Redis knows them: nothing there leads back to the customer's id."""
    offer_id, customer_id = use
    return hashlib.blake2b(
        customer_id.bytes, key=offer_id.bytes, digest_size=_DIGEST_BYTES
    ).digest()


def _call(
    script: _Script, tenant_id: TenantId, offer_id: OfferId, arguments: Sequence[Any]
) -> list[Any]:
    # One hash tag for both keys of an offer, so that they share a slot of a Redis Cluster.
    tag = f"guerdon:{{{tenant_id.hex}:{offer_id.hex}}}"
    return ["EVALSHA", script.sha, 2, f"{tag}:counters", f"{tag}:customers", *arguments]


def _record_call(tenant_id: TenantId, told: Counters) -> list[Any]:
    customers: list[Any] = []
    for customer_id, used in told.customers_used.items():
        customers += (_digest((told.offer_id, customer_id)), used)
    arguments = [
        REDIS_COUNTERS_TTL_SECONDS,
        told.sequence,
        told.version,
        told.used,
        "" if told.total_limit is None else told.total_limit,
        "" if told.per_customer_limit is None else told.per_customer_limit,
        *customers,
    ]
    return _call(_RECORD, tenant_id, told.offer_id, arguments)


def _merged(older: Counters | None, newer: Counters) -> Counters:
    """One telling of two: the counters of the higher sequence, and the customers of both."""
    if older is None:
        return newer
    if older.sequence > newer.sequence:
        older, newer = newer, older
    return Counters(
        offer_id=newer.offer_id,
        version=newer.version,
        sequence=newer.sequence,
        used=newer.used,
        total_limit=newer.total_limit,
        per_customer_limit=newer.per_customer_limit,
        customers_used={**older.customers_used, **newer.customers_used},
    )
