"""One process of the lab's clients: `python -m loadtests.faults.clients`, with an Order as one line
of standard input. It asks until standard input ends; each second it tells on standard output what
it has met. Whatever it means, sends and hears is in its history first, so it may be killed.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import msgspec
import uvloop

from guerdon.api.offers.v1 import offer_service_pb2
from loadtests.admin import CURRENCY
from loadtests.faults.calls import Caller, Reply, line_of
from loadtests.faults.intents import Intent, IntentLog, Method
from loadtests.faults.wares import Demand, Ware
from loadtests.history import Answer

# Tries of one intent before it is left to the settling after the run.
TRIES_MAX = 12
# Seconds between two tries where the server names none: doubled each time, between these.
BACKOFF_SECONDS = (0.05, 1.0)
# Seconds of a pushback that are heeded: a longer wait than this would end the run waiting.
PUSHBACK_SECONDS_MAX = 2.0
# Seconds of a deadline, or until a call is cancelled: about as long as a call takes.
IMPATIENCE_SECONDS = (0.0005, 0.02)
# Items of a batch, but for the poisoned one.
BATCH_ITEMS = (2, 20)
# Seconds between two lines of what was met.
TELL_SECONDS = 1.0


class Order(msgspec.Struct, frozen=True):
    """What to ask, where, and how often: `attempts_per_second` over all `workers`."""

    addresses: list[str]
    api_keys: dict[UUID, str]
    wares: list[Ware]
    seed: str
    workers: int
    attempts_per_second: float
    history_file: str


class Met(msgspec.Struct, frozen=True):
    """Totals since the start of the process, for people to look at."""

    attempts: int = 0
    granted: int = 0
    refused: int = 0
    open: int = 0


class Clients:
    """The workers of one process. They share the connections and the demand."""

    def __init__(self, order: Order, caller: Caller) -> None:
        self._order = order
        self._caller = caller
        self._demand = Demand(order.wares, order.seed)
        self._chance = self._demand.chance
        self._stopping = asyncio.Event()
        self._met: Counter[str] = Counter()
        self._manners: list[tuple[int, Callable[[Intent], Awaitable[None]]]] = [
            (52, self._plain),
            (8, self._again),
            (8, self._twins),
            (6, self._impatient),
            (5, self._cancelling),
            (6, self._batch),
            (3, self._other_body),
            (2, self._revoked_first),
            (7, self._revoked_after),
            (3, self._looking),
        ]

    def stop(self) -> None:
        """Nothing new is asked, and nothing sent again; what is under way is still heard."""
        self._stopping.set()

    def met(self) -> Met:
        met = self._met
        return Met(met["attempts"], met["granted"], met["refused"], met["open"])

    async def work(self) -> None:
        """One worker: an intent after the other, at its share of the pace."""
        weights = [weight for weight, _ in self._manners]
        while True:
            pace = self._order.attempts_per_second / self._order.workers
            if await self._pause(self._chance.expovariate(pace)):
                return
            _, manner = self._chance.choices(self._manners, weights)[0]
            self._met["attempts"] += 1
            await manner(self._new_intent())

    def _new_intent(self, ware: Ware | None = None) -> Intent:
        intent = self._demand.next(ware)
        self._caller.log.write(intent)
        return intent

    async def _plain(self, intent: Intent) -> None:
        await self._until_definite(intent)

    async def _again(self, intent: Intent) -> None:
        """Once more after the answer, whatever it was."""
        await self._until_definite(intent)
        await self._until_definite(intent)

    async def _twins(self, intent: Intent) -> None:
        """Twice at once."""
        await asyncio.gather(self._until_definite(intent), self._until_definite(intent))

    async def _impatient(self, intent: Intent) -> None:
        """First with a deadline that hardly anybody can keep."""
        seconds = self._chance.uniform(*IMPATIENCE_SECONDS)
        await self._caller.redeem(intent, seconds=seconds)
        await self._until_definite(intent)

    async def _cancelling(self, intent: Intent) -> None:
        """First given up in the middle."""
        moment = self._chance.uniform(*IMPATIENCE_SECONDS)
        await self._caller.redeem(intent, cancel_after=moment)
        await self._until_definite(intent)

    async def _batch(self, intent: Intent) -> None:
        """With others of the same tenant in one call; whoever stays open goes on alone."""
        wares = [w for w in self._order.wares if w.tenant_id == intent.tenant_id]
        more = self._chance.randint(*BATCH_ITEMS) - 1
        intents = [intent]
        intents += [self._new_intent(self._chance.choice(wares)) for _ in range(more)]
        self._met["attempts"] += more
        poison = self._chance.random() < 1 / 4
        replies = await self._caller.redeem_batch(intents, poison=poison)
        for one, reply in zip(intents, replies, strict=True):
            if self._is_done(reply.answer):
                continue
            await self._until_definite(one)

    async def _other_body(self, intent: Intent) -> None:
        """The same id for something else, before, after or at once."""
        other = self._until_definite(intent, Method.OTHER)
        match self._chance.randrange(3):
            case 0:
                await self._until_definite(intent)
                await other
            case 1:
                await other
                await self._until_definite(intent)
            case _:
                await asyncio.gather(self._until_definite(intent), other)

    async def _revoked_first(self, intent: Intent) -> None:
        """Taken back before it arrives, or while it does."""
        if self._chance.random() < 1 / 2:
            await self._revoke(intent)
            await self._until_definite(intent)
        else:
            await asyncio.gather(self._revoke(intent), self._until_definite(intent))

    async def _revoked_after(self, intent: Intent) -> None:
        """Taken back once or twice, then asked for again."""
        await self._until_definite(intent)
        if self._chance.random() < 1 / 2:
            await asyncio.gather(self._revoke(intent), self._revoke(intent))
        else:
            await self._revoke(intent)
        if self._chance.random() < 1 / 2:
            await self._until_definite(intent)

    async def _looking(self, intent: Intent) -> None:
        """A question and a price before the use, and a look at what is another tenant's."""
        eligible = offer_service_pb2.CheckEligibilityRequest(
            offer_id=str(intent.offer_id), customer_id=str(intent.customer_id)
        )
        await self._caller.look(intent.tenant_id, "CheckEligibility", eligible, is_foreign=False)
        quote = offer_service_pb2.QuoteRequest(
            customer_id=str(intent.customer_id),
            line=line_of(intent, intent.quantity),
            currency=CURRENCY,
            offer_id=str(intent.offer_id),
        )
        await self._caller.look(intent.tenant_id, "Quote", quote, is_foreign=False)
        await self._until_definite(intent)
        for stranger in self._order.api_keys:
            if stranger != intent.tenant_id:
                mine = offer_service_pb2.GetRedemptionRequest(request_id=str(intent.request_id))
                await self._caller.look(stranger, "GetRedemption", mine, is_foreign=True)
                await self._caller.look(stranger, "CheckEligibility", eligible, is_foreign=True)

    async def _until_definite(self, intent: Intent, method: Method = Method.REDEEM) -> None:
        await self._repeat(lambda: self._caller.redeem(intent, method))

    async def _revoke(self, intent: Intent) -> None:
        await self._repeat(lambda: self._caller.revoke(intent))

    async def _repeat(self, send: Callable[[], Awaitable[Reply]]) -> None:
        backoff, longest = BACKOFF_SECONDS
        for _ in range(TRIES_MAX):
            reply = await send()
            if self._is_done(reply.answer):
                return
            pause = self._chance.uniform(0.5, 1.0) * backoff
            backoff = min(2 * backoff, longest)
            if reply.pushback_seconds is not None:
                pause = min(reply.pushback_seconds, PUSHBACK_SECONDS_MAX)
            if await self._pause(pause):
                return

    def _is_done(self, answer: Answer) -> bool:
        kind = "granted" if answer.is_grant else "refused" if answer.is_definite else "open"
        self._met[kind] += 1
        return answer.is_definite

    async def _pause(self, seconds: float) -> bool:
        """Whether the end came meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True


async def main() -> None:
    line = await asyncio.to_thread(sys.stdin.buffer.readline)
    order = msgspec.json.decode(line, type=Order)
    with IntentLog(Path(order.history_file)) as log:
        caller = Caller(log, order.addresses, order.api_keys)
        clients = Clients(order, caller)
        telling = asyncio.create_task(tell(clients))
        async with asyncio.TaskGroup() as group:
            for _ in range(order.workers):
                group.create_task(clients.work())
            await asyncio.to_thread(sys.stdin.buffer.read)
            clients.stop()
        telling.cancel()
        write_met(clients)
        await caller.close()


async def tell(clients: Clients) -> None:
    while True:
        await asyncio.sleep(TELL_SECONDS)
        write_met(clients)


def write_met(clients: Clients) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(clients.met()) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
