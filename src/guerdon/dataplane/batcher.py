"""Micro-batches: whatever queued while a tenant's last batch ran goes together in the next.

There is no timer: an idle tenant's first item leaves at once, and under load batches grow by
themselves. One batch is in flight for a tenant, a few for the process; tenants take turns, since
each batch waits anew for a place. What would wait for too long is shed before any work.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from guerdon.domain.errors import DeadlinePassed, Overloaded
from guerdon.domain.identifiers import TenantId
from guerdon.limits import (
    BATCH_ITEMS_MAX,
    QUEUE_ITEMS_MAX,
    QUEUE_ITEMS_TOTAL_MAX,
    QUEUE_SECONDS_MAX,
)
from guerdon.telemetry import Metrics, batch_span, sampled_context

Item = TypeVar("Item")
Answer = TypeVar("Answer")

RunBatch = Callable[[TenantId, Sequence[Item]], Awaitable[Sequence[Answer | Exception]]]
"""Answers every item in order. What it raises instead is answered to all of them."""


class _Entry(Generic[Item, Answer]):
    """One item that waits, with the callers who wait for it: twins share an entry."""

    __slots__ = ("content", "context", "deadline", "item", "key", "waiters")

    def __init__(
        self,
        item: Item,
        key: Hashable,
        content: Hashable,
        deadline: float,
        waiter: "asyncio.Future[Answer]",
    ) -> None:
        self.item = item
        self.key = key
        self.content = content
        self.deadline = deadline
        self.waiters = [waiter]
        self.context = sampled_context()

    def is_wanted(self) -> bool:
        return not all(waiter.done() for waiter in self.waiters)

    def resolve(self, answer: Answer | Exception) -> None:
        for waiter in self.waiters:
            if waiter.done():
                continue
            if isinstance(answer, Exception):
                waiter.set_exception(answer)
            else:
                waiter.set_result(answer)


class _Queue(Generic[Item, Answer]):
    """What waits of one tenant, and how long its batches take: the last one, or the one under way.

    `began` is when the present batch began to wait for its place.
    """

    __slots__ = ("batch_seconds", "began", "entries")

    def __init__(self, now: float) -> None:
        self.entries: deque[_Entry[Item, Answer]] = deque()
        self.batch_seconds = 0.0
        self.began = now

    def is_full(self, now: float, seconds: float) -> bool:
        """Whether one more would wait for over QUEUE_SECONDS_MAX, or could not be answered within
        `seconds`, going by the last batch. There is always room for the next batch, since nobody
        knows how long that takes."""
        waiting = len(self.entries)
        if waiting < BATCH_ITEMS_MAX:
            return self.batch_seconds > seconds
        batch_seconds = max(self.batch_seconds, now - self.began)
        wait_seconds = waiting / BATCH_ITEMS_MAX * batch_seconds
        return (
            waiting >= QUEUE_ITEMS_MAX
            or wait_seconds > QUEUE_SECONDS_MAX
            or wait_seconds + self.batch_seconds > seconds
        )


class Batcher(Generic[Item, Answer]):
    """Queues items by tenant and runs them in batches of distinct keys.

    Cancelling a caller never cancels a batch: an item that has left its queue is decided whole.
    """

    def __init__(
        self,
        kind: str,
        run: RunBatch[Item, Answer],
        places: asyncio.Semaphore,
        metrics: Metrics,
    ) -> None:
        self._kind = kind
        self._run = run
        self._places = places
        self._metrics = metrics
        self._queues: dict[TenantId, _Queue[Item, Answer]] = {}
        self._drains: set[asyncio.Task[None]] = set()
        self._waiting_items = 0

    async def submit(
        self,
        tenant_id: TenantId,
        item: Item,
        *,
        key: Hashable,
        content: Hashable,
        seconds: float,
    ) -> Answer:
        """The item's answer, within `seconds` of now.

        An item with the key and content of another of its batch shares its answer; one with an
        equal key and other content goes in a later batch. Raises Overloaded at once when it would
        wait for too long, DeadlinePassed when the time is over before it left its queue, and
        whatever the batch answers as an error.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        queue = self._queues.get(tenant_id)
        is_full = queue is not None and queue.is_full(now, seconds)
        if is_full or self._waiting_items >= QUEUE_ITEMS_TOTAL_MAX:
            self._metrics.shed(1)
            raise Overloaded
        if queue is None:
            queue = self._open(tenant_id, now)
        waiter: asyncio.Future[Answer] = loop.create_future()
        queue.entries.append(_Entry(item, key, content, now + seconds, waiter))
        self._waiting_items += 1
        return await waiter

    async def close(self) -> None:
        """Wait until everything queued is answered."""
        while self._drains:
            await asyncio.gather(*self._drains)

    def _open(self, tenant_id: TenantId, now: float) -> _Queue[Item, Answer]:
        queue: _Queue[Item, Answer] = _Queue(now)
        self._queues[tenant_id] = queue
        drain = asyncio.create_task(self._drain(tenant_id, queue))
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)
        return queue

    async def _drain(self, tenant_id: TenantId, queue: _Queue[Item, Answer]) -> None:
        loop = asyncio.get_running_loop()
        while queue.entries:
            async with self._places:
                batch = self._take(queue.entries)
                if batch:
                    await self._run_batch(tenant_id, batch)
            now = loop.time()
            queue.batch_seconds, queue.began = now - queue.began, now
        del self._queues[tenant_id]

    def _take(self, queue: deque[_Entry[Item, Answer]]) -> list[_Entry[Item, Answer]]:
        """The next items with distinct keys, in order; what nobody waits for any more is
        dropped."""
        now = asyncio.get_running_loop().time()
        waiting_before = len(queue)
        taken: dict[Hashable, _Entry[Item, Answer]] = {}
        deferred: list[_Entry[Item, Answer]] = []
        while queue and len(taken) < BATCH_ITEMS_MAX:
            entry = queue.popleft()
            if entry.deadline <= now:
                entry.resolve(DeadlinePassed())
            elif entry.is_wanted():
                twin = taken.setdefault(entry.key, entry)
                if twin is entry:
                    continue
                if twin.content == entry.content:
                    twin.waiters += entry.waiters
                else:
                    deferred.append(entry)
        queue.extendleft(reversed(deferred))
        self._waiting_items -= waiting_before - len(queue)
        return list(taken.values())

    async def _run_batch(self, tenant_id: TenantId, batch: list[_Entry[Item, Answer]]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            with batch_span(self._kind, len(batch), [entry.context for entry in batch]):
                answers: Sequence[Answer | Exception] = await self._run(
                    tenant_id, [entry.item for entry in batch]
                )
        except Exception as error:
            # Whatever it is, every caller must hear of it: transport knows how to word it.
            answers = [error] * len(batch)
        for entry, answer in zip(batch, answers, strict=True):
            entry.resolve(answer)
        self._metrics.batch_ended(self._kind, len(batch), loop.time() - started)
        self._metrics.queue_changed(self._waiting_items)
