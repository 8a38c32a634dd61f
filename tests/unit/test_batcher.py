"""The micro-batcher: order, fairness, twins, bounds, and what cancelling does not do."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from guerdon.dataplane.batcher import Batcher, _Entry, _Queue
from guerdon.domain.errors import DeadlinePassed, Overloaded
from guerdon.domain.identifiers import TenantId
from guerdon.limits import BATCH_ITEMS_MAX, QUEUE_ITEMS_MAX, QUEUE_SECONDS_MAX
from guerdon.telemetry import PrometheusMetrics
from tests.support.ledger import new_id

SECONDS = 5.0


class Kitchen:
    """Runs batches when it is told to, and remembers them."""

    def __init__(self, places: int = 4) -> None:
        self.batches: list[tuple[TenantId, list[str]]] = []
        self.open = asyncio.Event()
        self.busy = asyncio.Event()
        self.batcher: Batcher[str, str] = Batcher(
            "test",
            self.run,
            asyncio.Semaphore(places),
            PrometheusMetrics(CollectorRegistry()),
        )

    async def run(self, tenant_id: TenantId, items: Sequence[str]) -> Sequence[str | Exception]:
        self.batches.append((tenant_id, list(items)))
        self.busy.set()
        await self.open.wait()
        return [ValueError(item) if item == "poison" else item.upper() for item in items]

    def submit(
        self, tenant: TenantId, item: str, *, key: str | None = None, seconds: float = SECONDS
    ) -> "asyncio.Task[str]":
        return asyncio.create_task(
            self.batcher.submit(tenant, item, key=key or item, content=item, seconds=seconds)
        )


def tenant() -> TenantId:
    return TenantId(new_id())


async def test_what_queues_while_a_batch_runs_goes_together_in_the_next() -> None:
    kitchen, one = Kitchen(), tenant()
    first = kitchen.submit(one, "a")
    await kitchen.busy.wait()
    rest = [kitchen.submit(one, item) for item in "bcd"]
    await asyncio.sleep(0)
    kitchen.open.set()
    assert await asyncio.gather(first, *rest) == ["A", "B", "C", "D"]
    assert [items for _, items in kitchen.batches] == [["a"], ["b", "c", "d"]]


async def test_a_batch_is_bounded() -> None:
    kitchen, one = Kitchen(), tenant()
    kitchen.open.set()
    tasks = [kitchen.submit(one, f"{number}") for number in range(BATCH_ITEMS_MAX + 10)]
    await asyncio.gather(*tasks)
    assert max(len(items) for _, items in kitchen.batches) <= BATCH_ITEMS_MAX


async def test_tenants_take_turns_when_places_are_few() -> None:
    kitchen, loud, quiet = Kitchen(places=1), tenant(), tenant()
    tasks = [kitchen.submit(loud, f"{number}") for number in range(3 * BATCH_ITEMS_MAX)]
    await kitchen.busy.wait()
    tasks.append(kitchen.submit(quiet, "q"))
    await asyncio.sleep(0)
    kitchen.open.set()
    await asyncio.gather(*tasks)
    assert [who for who, _ in kitchen.batches].index(quiet) == 1


async def test_twins_share_an_answer_and_other_content_waits_for_the_next_batch() -> None:
    kitchen, one = Kitchen(), tenant()
    first = kitchen.submit(one, "a")
    await kitchen.busy.wait()
    items = [("x", "key"), ("x", "key"), ("y", "key")]
    tasks = [kitchen.submit(one, item, key=key) for item, key in items]
    await asyncio.sleep(0)
    kitchen.open.set()
    assert await asyncio.gather(first, *tasks) == ["A", "X", "X", "Y"]
    assert [items for _, items in kitchen.batches] == [["a"], ["x"], ["y"]]


async def test_cancelling_a_caller_drops_what_still_waits_and_nothing_else() -> None:
    kitchen, one = Kitchen(), tenant()
    under_way = kitchen.submit(one, "a")
    await kitchen.busy.wait()
    waiting, other = kitchen.submit(one, "b"), kitchen.submit(one, "c")
    await asyncio.sleep(0)
    under_way.cancel()
    waiting.cancel()
    kitchen.open.set()
    assert await other == "C"
    assert [items for _, items in kitchen.batches] == [["a"], ["c"]]


async def test_a_full_queue_sheds_at_once() -> None:
    kitchen, one = Kitchen(), tenant()
    under_way = kitchen.submit(one, "a")
    await kitchen.busy.wait()
    others = [kitchen.submit(one, f"{number}") for number in range(QUEUE_ITEMS_MAX + 1)]
    with pytest.raises(Overloaded):
        await others[-1]
    kitchen.open.set()
    answers = await asyncio.gather(under_way, *others, return_exceptions=True)
    # Fewer than it may hold, where the batch under way is found to be slow.
    assert sum(isinstance(answer, str) for answer in answers) > BATCH_ITEMS_MAX


@pytest.mark.parametrize(
    ("batches", "last_seconds", "present_seconds", "seconds", "full"),
    [
        (2, 0.6 * QUEUE_SECONDS_MAX, 0.0, SECONDS, True),
        (2, 0.0, 0.6 * QUEUE_SECONDS_MAX, SECONDS, True),
        (2, 0.4 * QUEUE_SECONDS_MAX, 0.0, SECONDS, False),
        (2, 0.4 * QUEUE_SECONDS_MAX, 0.0, 0.5 * QUEUE_SECONDS_MAX, True),
        (0, 0.5 * QUEUE_SECONDS_MAX, 0.0, 0.4 * QUEUE_SECONDS_MAX, True),
        (0, 4 * QUEUE_SECONDS_MAX, 4 * QUEUE_SECONDS_MAX, SECONDS, False),
    ],
    ids=[
        "batches are slow",
        "the present batch is slow",
        "batches are quick",
        "the caller has less time",
        "the caller has less time than a batch takes",
        "the next batch has room at any pace",
    ],
)
async def test_a_queue_is_as_long_as_its_batches_are_quick(
    batches: int, last_seconds: float, present_seconds: float, seconds: float, full: bool
) -> None:
    queue: _Queue[str, str] = _Queue(now=100.0)
    queue.batch_seconds = last_seconds
    waiter: asyncio.Future[str] = asyncio.Future()
    queue.entries.extend(
        _Entry("a", number, None, 200.0, waiter) for number in range(batches * BATCH_ITEMS_MAX)
    )
    assert queue.is_full(100.0 + present_seconds, seconds) is full


async def test_a_slow_batch_shortens_the_queue_behind_it() -> None:
    kitchen, one = Kitchen(), tenant()
    under_way = kitchen.submit(one, "a")
    await kitchen.busy.wait()
    waiting = [kitchen.submit(one, f"{number}") for number in range(BATCH_ITEMS_MAX)]
    slow = asyncio.Event()
    asyncio.get_running_loop().call_later(1.1 * QUEUE_SECONDS_MAX, slow.set)
    await slow.wait()
    with pytest.raises(Overloaded):
        await kitchen.submit(one, "one too many")
    kitchen.open.set()
    assert len(await asyncio.gather(under_way, *waiting)) == BATCH_ITEMS_MAX + 1


async def test_an_item_whose_time_is_over_is_not_sent() -> None:
    kitchen, one = Kitchen(), tenant()
    under_way = kitchen.submit(one, "a")
    await kitchen.busy.wait()
    late = kitchen.submit(one, "b", seconds=0.0)
    await asyncio.sleep(0)
    kitchen.open.set()
    with pytest.raises(DeadlinePassed):
        await late
    assert await under_way == "A"
    assert [items for _, items in kitchen.batches] == [["a"]]


async def test_one_items_error_is_its_own_and_a_raise_is_everyones() -> None:
    kitchen, one = Kitchen(), tenant()
    kitchen.open.set()
    tasks = [kitchen.submit(one, item) for item in ("a", "poison", "b")]
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answers[0], answers[2]] == ["A", "B"]
    assert isinstance(answers[1], ValueError)


async def test_close_waits_for_everything_queued() -> None:
    kitchen, one = Kitchen(), tenant()
    tasks = [kitchen.submit(one, item) for item in "abc"]
    await kitchen.busy.wait()
    closing = asyncio.create_task(kitchen.batcher.close())
    await asyncio.sleep(0)
    assert not closing.done()
    kitchen.open.set()
    await closing
    assert await asyncio.gather(*tasks) == ["A", "B", "C"]
