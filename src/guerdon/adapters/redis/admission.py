"""ports.Admission on Redis: a hint per use, and what is committed told back.

One EVALSHA for a batch, and under load what the batch before committed rides along in its round
trip. Redis is given REDIS_TIMEOUT_SECONDS; when it fails, a breaker leaves it alone for
REDIS_RETRY_SECONDS and every use is likely meanwhile.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from guerdon.adapters.redis.breaker import FAILURES, Breaker
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.limits import (
    BATCH_ITEMS_MAX,
    REDIS_COUNTERS_TTL_SECONDS,
    REDIS_TIMEOUT_SECONDS,
)
from guerdon.ports import Counters, Road

_LUA = files("guerdon.adapters.redis") / "lua"
_DIGEST_BYTES = 12
# By the numbers that admit.lua answers.
_ROADS = tuple(Road)


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
        """One round trip for all uses, and for what is to be told."""
        numbers_by_offer: dict[OfferId, list[int]] = {}
        for number, (offer_id, _) in enumerate(uses):
            numbers_by_offer.setdefault(offer_id, []).append(number)
        nonce = str(next(self._nonces)).encode()
        arguments: list[Any] = [nonce]
        for offer_id, numbers in numbers_by_offer.items():
            arguments.append(len(numbers))
            arguments += (_digest(offer_id, uses[number][1]) for number in numbers)
        admit = _call(_ADMIT, tenant_id, numbers_by_offer, arguments)
        roads = [Road.LIKELY] * len(uses)
        replies = await self._run([*self._take_tellings(), admit])
        if not replies:
            return roads
        answer = replies[-1]
        if not isinstance(answer, list) or answer[0] != nonce:
            await self._hang_up()
            return roads
        in_order = itertools.chain.from_iterable(numbers_by_offer.values())
        for number, road in zip(in_order, answer[1:], strict=True):
            roads[number] = _ROADS[road]
        return roads

    def record(self, tenant_id: TenantId, counters: Sequence[Counters]) -> None:
        """Goes with the next batch's question if that comes at once, else by itself."""
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
            while tellings := self._take_tellings():
                await self._run(tellings)
        finally:
            self._recorder = None

    def _take_tellings(self) -> list[list[Any]]:
        """A call for each tenant of whom something is to be told; whoever takes them makes them."""
        by_tenant: dict[TenantId, list[Counters]] = {}
        for (tenant_id, _), told in self._unrecorded.items():
            by_tenant.setdefault(tenant_id, []).append(told)
        self._unrecorded = {}
        return [_telling(tenant_id, told) for tenant_id, told in by_tenant.items()]

    async def _run(self, calls: Sequence[list[Any]]) -> Sequence[Any]:
        """The replies in order; none at all when Redis failed."""
        if not self._breaker.permits():
            return ()
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                replies = await self._evaluate(calls)
        except FAILURES:
            self._breaker.failed()
            return ()
        self._breaker.succeeded()
        return replies

    async def _hang_up(self) -> None:
        """The connection is out of step with us; another caller's answer must never pass."""
        self._breaker.failed()
        await self._redis.connection_pool.disconnect()

    async def _evaluate(self, calls: Sequence[list[Any]]) -> list[Any]:
        try:
            return await self._pipeline(calls)
        except NoScriptError:
            for script in (_ADMIT, _RECORD):
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


# A customer is asked about and soon told of: the second time costs a look-up.
@lru_cache(maxsize=4 * BATCH_ITEMS_MAX)
def _digest(offer_id: OfferId, customer_id: CustomerId) -> bytes:
    """A customer as Redis knows them: nothing there leads back to the customer's id."""
    return hashlib.blake2b(
        customer_id.bytes, key=offer_id.bytes, digest_size=_DIGEST_BYTES
    ).digest()


def _call(
    script: _Script, tenant_id: TenantId, offer_ids: Iterable[OfferId], arguments: Sequence[Any]
) -> list[Any]:
    # One hash tag for all keys of a tenant, so that a batch stays within a slot of a Redis Cluster.
    prefix = f"guerdon:{{{tenant_id.hex}}}:"
    keys: list[str] = []
    for offer_id in offer_ids:
        name = prefix + offer_id.hex
        keys += (f"{name}:counters", f"{name}:customers")
    return ["EVALSHA", script.sha, len(keys), *keys, *arguments]


def _telling(tenant_id: TenantId, counters: Sequence[Counters]) -> list[Any]:
    arguments: list[Any] = [REDIS_COUNTERS_TTL_SECONDS]
    for told in counters:
        arguments += (
            told.sequence,
            told.version,
            told.used,
            "" if told.total_limit is None else told.total_limit,
            "" if told.per_customer_limit is None else told.per_customer_limit,
            len(told.customers_used),
        )
        for customer_id, used in told.customers_used.items():
            arguments += (_digest(told.offer_id, customer_id), used)
    return _call(_RECORD, tenant_id, [told.offer_id for told in counters], arguments)


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
