"""A bounded map of what was read last, which no read that began too early can set back."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

import msgspec

from guerdon.limits import BATCH_SECONDS_MAX

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Moment(msgspec.Struct, frozen=True):
    """When a read began: by the copy's count of changes, and by the monotonic clock, in seconds."""

    changes: int
    seconds: float


def is_later(held: Moment, held_version: int, began: Moment, version: int) -> bool:
    """Whether what is held was read later than what another read gives that began at `began`.

    What changed in between decides. Of two reads between the same changes that may have overlapped,
    the higher version came later; otherwise versions decide nothing, because a database that was
    restored from a backup counts from lower ones again.
    """
    if held.changes != began.changes:
        return held.changes > began.changes
    return held_version > version and began.seconds - held.seconds < BATCH_SECONDS_MAX


class _Entry(msgspec.Struct, Generic[Value]):
    value: Value | None
    version: int
    began: Moment
    loaded: bool


class Recent(Generic[Key, Value]):
    """The last `items_max` values that were read or forgotten. A value of None is an answer too."""

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: Key, not_before_seconds: float) -> tuple[Value | None] | None:
        """The value in a tuple, as it may be None; no tuple when it must be read."""
        entry = self._entries.get(key)
        if entry is None or not entry.loaded or entry.began.seconds < not_before_seconds:
            return None
        self._entries.move_to_end(key)
        return (entry.value,)

    def version(self, key: Key) -> int | None:
        """Of the value that is held; 0 for a None that is held."""
        entry = self._entries.get(key)
        return entry.version if entry is not None and entry.loaded else None

    def keep(self, key: Key, value: Value | None, version: int, began: Moment) -> bool:
        """Hold what a read gave. False when something later is known of it already."""
        if not self.admits(key, version, began):
            return False
        self._set(key, _Entry(value, version, began, True))
        return True

    def admits(self, key: Key, version: int, began: Moment) -> bool:
        """Whether nothing later is known of it than such a read."""
        entry = self._entries.get(key)
        return entry is None or not is_later(entry.began, entry.version, began, version)

    def forget(self, key: Key, changed: Moment) -> None:
        """It changed: no read that began before is kept."""
        self._set(key, _Entry(None, 0, changed, False))

    def drop(self, key: Key) -> None:
        """Hold nothing of it."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Hold nothing at all."""
        self._entries.clear()

    def _set(self, key: Key, entry: _Entry[Value]) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._items_max:
            self._entries.popitem(last=False)
