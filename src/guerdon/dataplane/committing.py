"""A batch's way into Postgres when things go wrong: resend what is safe to resend, split what is
not.

Sending the same items again is always safe: their request ids make it so.
"""

import asyncio
from collections.abc import Sequence

from guerdon.domain.errors import (
    Conflict,
    Defect,
    DependencyUnavailable,
    GuerdonError,
    OutcomeUnknown,
)
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.domain.redemption import RedemptionItem
from guerdon.limits import ATTEMPTS_MAX, RESEND_SECONDS_MIN
from guerdon.ports import (
    BatchAnswer,
    Counters,
    LocksTimedOut,
    RedemptionAnswer,
    RedemptionStore,
)


async def redeem_each(
    store: RedemptionStore, tenant_id: TenantId, items: Sequence[RedemptionItem]
) -> tuple[list[RedemptionAnswer | GuerdonError], list[Counters]]:
    """An answer or an error for each item, in order, and the counters that were committed.

    One item's trouble stays its own: a defect is bisected out, a lock that is not to be had is
    split off by offer.
    """
    try:
        answer = await _redeem_surely(store, tenant_id, items)
    except LocksTimedOut:
        return await _redeem_parts(store, tenant_id, items, _by_offer(items), Conflict())
    except Defect as defect:
        return await _redeem_parts(store, tenant_id, items, _halves(items), defect)
    except GuerdonError as error:
        return [error] * len(items), []
    return list(answer.answers), list(answer.counters)


async def _redeem_parts(
    store: RedemptionStore,
    tenant_id: TenantId,
    items: Sequence[RedemptionItem],
    parts: Sequence[Sequence[int]],
    error: GuerdonError,
) -> tuple[list[RedemptionAnswer | GuerdonError], list[Counters]]:
    """Each part by itself, in order; `error` when the batch cannot be parted any more."""
    answers: list[RedemptionAnswer | GuerdonError] = [error] * len(items)
    counters: list[Counters] = []
    if len(parts) == 1:
        return answers, counters
    for part in parts:
        part_answers, part_counters = await redeem_each(
            store, tenant_id, [items[number] for number in part]
        )
        counters += part_counters
        for number, answer in zip(part, part_answers, strict=True):
            answers[number] = answer
    return answers, counters


async def _redeem_surely(
    store: RedemptionStore, tenant_id: TenantId, items: Sequence[RedemptionItem]
) -> BatchAnswer:
    """Resolve lost acknowledgements and collisions by sending the same items again.

    A resent item queues behind the locks of the first sending, if that is still under way; so its
    answer is definite. Once an outcome was unknown, no other error may hide it.
    """
    outcome_unknown = False
    for attempt in range(ATTEMPTS_MAX):
        await asyncio.sleep(attempt * attempt * RESEND_SECONDS_MIN)
        try:
            return await store.redeem(tenant_id, items)
        except OutcomeUnknown:
            outcome_unknown = True
        except Conflict:
            pass
        except (GuerdonError, LocksTimedOut) as error:
            if not outcome_unknown:
                raise
            if not isinstance(error, DependencyUnavailable | LocksTimedOut):
                raise OutcomeUnknown() from error
    raise OutcomeUnknown() if outcome_unknown else Conflict()


def _by_offer(items: Sequence[RedemptionItem]) -> list[list[int]]:
    parts: dict[OfferId, list[int]] = {}
    for number, item in enumerate(items):
        parts.setdefault(item.offer_id, []).append(number)
    return list(parts.values())


def _halves(items: Sequence[RedemptionItem]) -> list[range]:
    middle = len(items) // 2
    halves = [range(middle), range(middle, len(items))]
    return [half for half in halves if half]
