"""When each effect on an offer can have been committed, as far as the clients can know.

Effects have numbers without gaps, and no effect is committed before its request was sent or after
its OK was heard. So number n was there not before the latest sending among numbers up to n, and at
last with the earliest answer among numbers from n on. Both bounds only grow with n, which makes
"what may the state have been during this call?" two binary searches.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

from loadtests.evidence import (
    Effect,
    Evidence,
    LimitKey,
    Row,
    first_answered_at,
    limit_keys,
)
from loadtests.history import Answer

NEVER, ALWAYS = float("inf"), float("-inf")


class Changes:
    """A value that changes at some positions; before the first of them it is what was given."""

    def __init__(self, first: int) -> None:
        self._positions = [0]
        self._values = [first]

    def set(self, position: int, value: int) -> None:
        self._positions.append(position)
        self._values.append(value)

    @property
    def last(self) -> int:
        return self._values[-1]

    def at(self, position: int) -> int:
        return self._values[bisect_right(self._positions, position) - 1]

    def positions_in(self, low: int, high: int) -> Sequence[int]:
        """Those of its changes in (low, high]."""
        positions = self._positions
        return positions[bisect_right(positions, low) : bisect_right(positions, high)]


class Timeline:
    """One slot of one offer. Position p is the state after its first p effects."""

    def __init__(self, evidence: Evidence, numbered: Sequence[Row | Effect]) -> None:
        self._evidence = evidence
        self._offer_id = numbered[0].offer_id
        self.numbered = numbered
        self.sent = [self._sent_at(one) for one in numbered]
        self.answered = [self._answered_at(one) for one in numbered]
        self._earliest = [ALWAYS]
        for sent in self.sent:
            self._earliest.append(max(self._earliest[-1], sent))
        self.latest = list(self.answered)
        for place in range(len(self.latest) - 2, -1, -1):
            self.latest[place] = min(self.latest[place], self.latest[place + 1])
        self._count()

    def _count(self) -> None:
        versions = [v for offer_id, v in self._evidence.versions if offer_id == self._offer_id]
        self._versions = Changes(min(versions, default=0))
        self._used: defaultdict[LimitKey, Changes] = defaultdict(lambda: Changes(0))
        for position, one in enumerate(self.numbered, 1):
            row: Row | None
            if isinstance(one, Row):
                row, change = one, 1
            elif one.request_id is not None:
                row, change = self._evidence.rows_by_request.get(one.request_id), -1
            else:
                self._versions.set(position, one.version)
                continue
            for key in limit_keys(row) if row is not None else ():
                used = self._used[key]
                used.set(position, used.last + change)

    def _sent_at(self, one: Row | Effect) -> float:
        if isinstance(one, Effect) and one.request_id is None:
            return self._evidence.edit_times.get((one.offer_id, one.version), (ALWAYS, NEVER))[0]
        attempt = self._evidence.attempts.get(one.request_id) if one.request_id else None
        if attempt is None:
            return ALWAYS
        if isinstance(one, Row):
            return attempt.first_sent_at if attempt.answers or attempt.others else ALWAYS
        return min((answer.sent_at for answer in attempt.revokes), default=ALWAYS)

    def _answered_at(self, one: Row | Effect) -> float:
        if isinstance(one, Effect) and one.request_id is None:
            return self._evidence.edit_times.get((one.offer_id, one.version), (ALWAYS, NEVER))[1]
        attempt = self._evidence.attempts.get(one.request_id) if one.request_id else None
        if attempt is None:
            return NEVER
        if isinstance(one, Row):
            return first_answered_at((*attempt.answers, *attempt.others))
        return first_answered_at(attempt.revokes)

    def positions_during(self, call: Answer) -> tuple[int, int]:
        """The first and the last state that a server may have seen between the call's sending and
        its answer."""
        high = bisect_right(self._earliest, call.answered_at) - 1
        low = bisect_left(self.latest, call.sent_at)
        return min(low, high), high

    def was_full(self, key: LimitKey, call: Answer) -> tuple[bool, str]:
        """Whether the limit may have been reached at some moment of the call, and what it was at
        the last one."""
        low, high = self.positions_during(call)
        used = self._used.get(key) or Changes(0)
        for position in self._moments(used, low, high):
            limit = self._limit(key, position)
            if limit is not None and used.at(position) >= limit:
                return True, ""
        return False, f"{used.at(high)} of {self._limit(key, high)} used at number {high}"

    def _moments(self, used: Changes, low: int, high: int) -> Iterator[int]:
        """Every state in which the answer may be another one."""
        yield low
        yield from used.positions_in(low, high)
        yield from self._versions.positions_in(low, high)

    def _limit(self, key: LimitKey, position: int) -> int | None:
        version = self._evidence.versions.get((self._offer_id, self._versions.at(position)))
        return None if version is None else version.limit(key)


def timelines_of(evidence: Evidence) -> "dict[object, Timeline]":
    """Of all offers and slots with an effect, made once."""
    made: dict[object, Timeline] | None = evidence.__dict__.get("timelines")
    if made is None:
        made = {place: Timeline(evidence, ones) for place, ones in evidence.by_offer.items()}
        evidence.__dict__["timelines"] = made
    return made
