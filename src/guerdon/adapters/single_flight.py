"""One load for all who ask for the same thing at once."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class SingleFlight(Generic[Value]):
    """Loads that are under way, by what they load. A caller that goes away ends no load."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[Value]] = {}

    async def fly(self, key: Hashable, load: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """What the load under way for `key` gives, or else a new one. Raises what it raises."""
        return await asyncio.shield(self.start(key, load))

    def start(
        self, key: Hashable, load: Callable[[], Coroutine[Any, Any, Value]]
    ) -> asyncio.Task[Value]:
        """The same without waiting. The task must not be cancelled."""
        task = self._flights.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(load())
            self._flights[key] = task
            task.add_done_callback(partial(self._land, key))
        return task

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._flights.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _land(self, key: Hashable, task: asyncio.Task[Value]) -> None:
        del self._flights[key]
        if not task.cancelled():
            # Looked at, so that a failure that nobody waited for is not reported as forgotten.
            task.exception()
