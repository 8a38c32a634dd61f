"""ports.Admission on Redis: a hint per use, and what is committed told back.

One EVALSHA for a batch, and under load what the batch before committed rides along in its round
trip. Redis is given REDIS_TIMEOUT_SECONDS; when it fails, a breaker leaves it alone for
REDIS_RETRY_SECONDS, every use is likely meanwhile, and what it missed is told when it is back.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from guerdon.adapters.redis.breaker import FAILURES, Breaker
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.limits import (
    BATCH_ITEMS_MAX,
    REDIS_COUNTERS_TTL_SECONDS,
    REDIS_RETRY_SECONDS,
    REDIS_TIMEOUT_SECONDS,
    REDIS_UNTOLD_OFFERS_MAX,
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


class _Telling(msgspec.Struct, frozen=True):
    """What is to be told of one offer. With `customers_lost` Redis shall forget all its customers:
    some of them it was not told in time, and what is not known is likely."""

    counters: Counters
    customers_lost: bool = False


_Tellings = dict[tuple[TenantId, OfferId], _Telling]


class RedisAdmission:
    """See ports.Admission. Nothing here raises: what Redis does not answer is likely."""

    def __init__(self, redis: Redis, breaker: Breaker) -> None:
        self._redis = redis
        self._breaker = breaker
        self._nonces = itertools.count()
        self._untold: _Tellings = {}
        self._recorder: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

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
        replies = await self._tell_and_run([admit])
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
            telling = _Telling(told) if self.available else _without_customers(told)
            self._keep(tenant_id, telling)

    async def told(self) -> None:
        """Wait until there is nothing to be told."""
        if self._recorder is not None:
            await asyncio.shield(self._recorder)

    async def close(self) -> None:
        """Tell what is to be told; what Redis does not take now is given up."""
        self._closing.set()
        await self.told()

    async def _tell_all(self) -> None:
        try:
            while self._untold:
                if await self._tell_and_run([]):
                    continue
                if self._closing.is_set():
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(REDIS_RETRY_SECONDS):
                        await self._closing.wait()
        finally:
            self._recorder = None

    async def _tell_and_run(self, calls: Sequence[list[Any]]) -> Sequence[Any]:
        """The replies to a part of what is to be told, and to the calls, in order; none when Redis
        failed. A part is as much as a batch: Redis would not be done with thousands in time."""
        if not self._breaker.permits():
            return ()
        part = list(itertools.islice(self._untold, BATCH_ITEMS_MAX))
        tellings = {key: self._untold.pop(key) for key in part}
        replies = await self._run([*_record_calls(tellings), *calls])
        if not replies:
            for (tenant_id, _), telling in tellings.items():
                self._keep(tenant_id, _without_customers(telling.counters))
        return replies

    def _keep(self, tenant_id: TenantId, telling: _Telling) -> None:
        key = (tenant_id, telling.counters.offer_id)
        self._untold[key] = _merged(self._untold.get(key), telling)
        if len(self._untold) > REDIS_UNTOLD_OFFERS_MAX:
            # Redis drops by itself what nobody tells it of for long enough.
            del self._untold[next(iter(self._untold))]
        if self._recorder is None and not self._closing.is_set():
            self._recorder = asyncio.create_task(self._tell_all())

    async def _run(self, calls: Sequence[list[Any]]) -> Sequence[Any]:
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


def _without_customers(counters: Counters) -> _Telling:
    """What waits for Redis must not grow with every customer."""
    return _Telling(msgspec.structs.replace(counters, customers_used={}), customers_lost=True)


def _record_calls(tellings: _Tellings) -> list[list[Any]]:
    """A call for each tenant."""
    by_tenant: dict[TenantId, list[_Telling]] = {}
    for (tenant_id, _), telling in tellings.items():
        by_tenant.setdefault(tenant_id, []).append(telling)
    return [_record_call(tenant_id, of_tenant) for tenant_id, of_tenant in by_tenant.items()]


def _record_call(tenant_id: TenantId, tellings: Sequence[_Telling]) -> list[Any]:
    arguments: list[Any] = [REDIS_COUNTERS_TTL_SECONDS]
    for telling in tellings:
        told = telling.counters
        arguments += (
            told.sequence,
            told.version,
            told.used,
            "" if told.total_limit is None else told.total_limit,
            "" if told.per_customer_limit is None else told.per_customer_limit,
            int(telling.customers_lost),
            len(told.customers_used),
        )
        for customer_id, used in told.customers_used.items():
            arguments += (_digest(told.offer_id, customer_id), used)
    offer_ids = [telling.counters.offer_id for telling in tellings]
    return _call(_RECORD, tenant_id, offer_ids, arguments)


def _merged(older: _Telling | None, newer: _Telling) -> _Telling:
    """One telling of two: the counters of the higher sequence, and the customers of both."""
    if older is None:
        return newer
    if older.counters.sequence > newer.counters.sequence:
        older, newer = newer, older
    customers_used = {**older.counters.customers_used, **newer.counters.customers_used}
    return _Telling(
        msgspec.structs.replace(newer.counters, customers_used=customers_used),
        older.customers_lost or newer.customers_lost,
    )
