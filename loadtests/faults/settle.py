"""After the faults: every open request is asked again until its outcome is known, and what is left
of each limit is asked for, so that every limit is reached exactly."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from guerdon.api.admin.v1.offer_pb2 import Offer
from loadtests.faults.admin_traffic import Admins
from loadtests.faults.calls import Caller, Reply
from loadtests.faults.intents import Intent, Method, Told
from loadtests.faults.report import Ambiguity
from loadtests.faults.wares import Demand, Kind, Ware
from loadtests.history import Answer, Attempt, Goal

Subject = TypeVar("Subject")

# Requests that are asked again at once, and seconds for each until it counts as unresolved.
AT_ONCE = 48
SETTLE_SECONDS = 90.0
CALL_SECONDS = 5.0
RETRY_SECONDS = (0.05, 0.5)
# How much more is asked than a limit allows, in all of the run, and at least after it.
DEMAND = 3
MORE = 5
# New customers of an offer with a limit for each, who ask for DEMAND times as much.
NEW_CUSTOMERS = 10


class Settler:
    """Works on a healed site."""

    def __init__(self, caller: Caller, told: Told, seed: int) -> None:
        self._caller = caller
        self._told = told
        self._chance = random.Random(seed)
        self._done = 0

    @property
    def done(self) -> int:
        """Requests that were settled or asked so far."""
        return self._done

    async def resolve(self, ambiguous: Sequence[UUID]) -> None:
        """Ask again whatever was left open. Revokes go first: a request that is taken back stays
        so, whatever else is heard of it."""
        await each(ambiguous, self._resolve_one)

    async def fill(self, ware: Ware, offer: Offer, demand: Demand) -> Goal:
        """Use up what is left of the offer's limits; what must be counted then."""
        asked = Counter(
            intent.product_id
            for intent in self._told.intents.values()
            if intent.offer_id == ware.offer_id
        )
        limits = {
            UUID(product.product_id): product.max_uses
            for product in offer.products
            if product.HasField("max_uses")
        }
        intents = []
        for product in offer.products:
            product_id = UUID(product.product_id)
            if product_id in limits:
                room = product.max_uses - product.usage_count
                count = max(room + MORE, DEMAND * product.max_uses - asked[product_id])
                intents += [self._intent(ware, demand, product_id) for _ in range(count)]
        await each(intents, self._ask)
        # Of an offer without a limit a few, so that Redis hears of it again.
        intents = [self._intent(ware, demand, None) for _ in range(MORE)]
        if ware.products and ware.total is None:
            intents = []
        if offer.HasField("total_usage_limit"):
            plenty = next((p for p in ware.products if p not in limits), None)
            room = offer.total_usage_limit - offer.usage_count
            count = max(room + MORE, DEMAND * offer.total_usage_limit - asked.total())
            intents = [self._intent(ware, demand, plenty) for _ in range(count)]
        customers: tuple[UUID, ...] = ()
        if ware.kind is Kind.EACH:
            customers = tuple(demand.new_id() for _ in range(NEW_CUSTOMERS))
            count = DEMAND * offer.per_user_limit
            intents = [
                msgspec.structs.replace(self._intent(ware, demand, None), customer_id=customer)
                for customer in customers
                for _ in range(count)
            ]
        await each(intents, self._ask)
        return Goal(
            ware.offer_id,
            f"{ware.kind} of {ware.tenant_id}",
            total=offer.total_usage_limit if offer.HasField("total_usage_limit") else None,
            targets=limits,
            each_customer=offer.per_user_limit if customers else None,
            customers=customers,
        )

    async def use(self, wares: Sequence[Ware], demand: Demand) -> None:
        """Ask for one use of each."""
        intents = [self._intent(ware, demand, next(iter(ware.products), None)) for ware in wares]
        await each(intents, self._ask)

    def _intent(self, ware: Ware, demand: Demand, product_id: UUID | None) -> Intent:
        """By a new customer, so that no customer's limit stands before the others."""
        drawn = demand.next(ware)
        return msgspec.structs.replace(drawn, customer_id=demand.new_id(), product_id=product_id)

    async def _ask(self, intent: Intent) -> None:
        self._caller.log.write(intent)
        await self._until_definite(lambda: self._caller.redeem(intent, seconds=CALL_SECONDS))

    async def _resolve_one(self, request_id: UUID) -> None:
        intent, attempt = self._told.intents[request_id], self._told.attempts[request_id]
        self._caller.log.write(intent)
        caller = self._caller
        if is_revoke_open(attempt):
            await self._until_definite(lambda: caller.revoke(intent, CALL_SECONDS))
        if is_open(attempt.answers):
            await self._until_definite(lambda: caller.redeem(intent, seconds=CALL_SECONDS))
        if is_open(attempt.others):
            await self._until_definite(
                lambda: caller.redeem(intent, Method.OTHER, seconds=CALL_SECONDS)
            )

    async def _until_definite(self, send: Callable[[], Awaitable[Reply]]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            reply = await send()
            if reply.answer.is_definite:
                break
            pause = reply.pushback_seconds
            await asyncio.sleep(self._chance.uniform(*RETRY_SECONDS) if pause is None else pause)
        self._done += 1


async def each(subjects: Iterable[Subject], work: Callable[[Subject], Awaitable[None]]) -> None:
    """AT_ONCE of them at a time."""
    waiting = iter(list(subjects))

    async def take() -> None:
        for subject in waiting:
            await work(subject)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(take())


def is_open(answers: Sequence[Answer]) -> bool:
    """Whether a Redeem with these answers may still come out either way.

    A refusal speaks for its own sending: one whose answer was never heard may have been granted
    after it (docs/adr/0019-a-refusal-speaks-for-its-own-attempt.md).
    """
    if any(answer.is_grant for answer in answers):
        return False
    return not all(answer.is_definite for answer in answers)


def is_revoke_open(attempt: Attempt) -> bool:
    return bool(attempt.revokes) and not any(answer.is_grant for answer in attempt.revokes)


def open_requests(told: Told) -> list[UUID]:
    """Those that the run left open, in an order that their ids give."""
    return sorted(
        request_id
        for request_id, attempt in told.attempts.items()
        if is_open(attempt.answers) or is_open(attempt.others) or is_revoke_open(attempt)
    )


def tell_ambiguity(told: Told, quiet_at: float) -> Ambiguity:
    """What became of the requests that had an ambiguous answer before the quiet."""
    counts: Counter[str] = Counter()
    for attempt in told.attempts.values():
        answers = [*attempt.answers, *attempt.others]
        before = [answer for answer in answers if answer.sent_at < quiet_at]
        if all(answer.is_definite for answer in before):
            continue
        counts["attempts"] += 1
        grants = [answer for answer in answers if answer.is_grant]
        if any(not answer.replayed for answer in grants):
            counts["granted_later"] += 1
        elif grants:
            counts["committed"] += 1
        elif is_open(attempt.answers) and not answered_after(attempt, quiet_at):
            counts["unresolved"] += 1
        else:
            counts["refused"] += 1
    return Ambiguity(**counts)


def answered_after(attempt: Attempt, quiet_at: float) -> bool:
    return any(
        answer.is_definite and answer.sent_at >= quiet_at
        for answer in (*attempt.answers, *attempt.others)
    )


async def finish_offers(
    admins: Admins, settler: Settler, wares: Sequence[Ware], demand: Demand
) -> list[Goal]:
    """Every offer active, with room, and then without."""
    return [await settler.fill(ware, await admins.finish(ware), demand) for ware in wares]
