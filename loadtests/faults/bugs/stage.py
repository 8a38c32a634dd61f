"""Where a scenario plays: a tenant on a server of one build, and the locks that order the play.

A scenario never hopes for a race. It holds a lock, waits until so many sessions are seen to wait
behind it, and lets go. Clients write down what they send and hear as in any run of the lab.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from guerdon.adapters.postgres import queries
from guerdon.api.admin.v1.offer_admin_service_pb2 import CreateOfferRequest, UpdateOfferRequest
from guerdon.api.admin.v1.offer_pb2 import Offer
from guerdon.api.offers.v1.offer_service_pb2 import RevokeResponse
from guerdon.api.offers.v1.redemption_pb2 import REVOKE_OUTCOME_TOMBSTONED
from loadtests.audit import Finding, audit
from loadtests.faults.calls import Caller
from loadtests.faults.intents import Hearing, Intent, Method, Sending, read_told
from loadtests.faults.wares import OTHER_QUANTITY
from loadtests.history import NUMBERS, OK, Answer, Edit, Goal, History

# Seconds for a call, and for anything that must come: both only end what went wrong.
CALL_SECONDS = 20.0
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.01
# Tries of one intent until its answer is definite, and seconds between two of them.
TRIES_MAX = 8
PAUSE_SECONDS = 0.05

WAITING_QUERY = """
    select count(*) from pg_stat_activity
    where application_name = 'guerdon' and datname = current_database()
      and wait_event_type = 'Lock'
"""
OFFER_LOCK = "select from guerdon.offer_counters where offer_id = $1 for update"
REDEMPTION_LOCK = "select from guerdon.redemptions where request_id = $1 for update"


class StageError(Exception):
    """A scenario could not be played as it is written, so it proves nothing."""


@dataclass(frozen=True)
class Build:
    """The server that a stage plays on, and what is its."""

    database_url: str
    redis_url: str
    migrations: Path
    failpoints: Path
    """The folder of the server's failpoints."""
    is_writable: Callable[[], bool]
    """What the server's own health says."""


@dataclass
class Stage:
    """One tenant. The audit looks at the offers of `goals` and at what was asked of them, but for
    `ignored` requests; what a scenario finds by itself goes to `findings`."""

    build: Build
    tenant_id: UUID
    owner: asyncpg.Connection
    redis: Redis
    caller: Caller
    log: Path
    admin: Any
    """OfferAdminService; the generated types know it without asyncio only."""
    metadata: tuple[tuple[str, str], ...]
    goals: list[Goal] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    ignored: set[UUID] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    async def offer(self, written: Offer, *, audited: bool = True, **goal: Any) -> UUID:
        """The id of a new offer. `goal` are further fields of Goal."""
        request = CreateOfferRequest(offer=written)
        created = await self.admin.CreateOffer(
            request, timeout=CALL_SECONDS, metadata=self.metadata
        )
        offer_id = UUID(created.offer_id)
        if audited:
            self.goals.append(Goal(offer_id, written.title, **goal))
        return offer_id

    async def edit(self, wanted: Offer, *paths: str) -> None:
        """One edit of the offer, of these fields; noted, and made again where it met a lock."""
        for _ in range(TRIES_MAX):
            sent_at = time.monotonic()
            code, version = OK, 0
            request = UpdateOfferRequest(offer=wanted, update_mask=FieldMask(paths=paths))
            try:
                answer = await self.admin.UpdateOffer(
                    request, timeout=CALL_SECONDS, metadata=self.metadata
                )
                version = answer.version
            except grpc.aio.AioRpcError as error:
                code = NUMBERS[error.code()]
            edit = Edit(
                UUID(wanted.offer_id), ", ".join(paths), sent_at, time.monotonic(), code, version
            )
            self.edits.append(edit)
            if code == OK:
                return
        raise StageError(f"an edit is not made after {TRIES_MAX} tries")

    def intent(
        self, offer_id: UUID, customer_id: UUID | None = None, product_id: UUID | None = None
    ) -> Intent:
        """A new use that is wanted, by a customer of its own unless one is named."""
        intent = Intent(
            uuid7(), self.tenant_id, offer_id, customer_id or uuid7(), product_id,
            other_quantity=OTHER_QUANTITY,
        )  # fmt: skip
        self.caller.log.write(intent)
        return intent

    async def redeem(self, intent: Intent, method: Method = Method.REDEEM) -> Answer:
        """The definite answer, or the last one when it stays open."""
        return await definite(
            lambda: self.caller.redeem(intent, method, seconds=CALL_SECONDS), TRIES_MAX
        )

    async def revoke(self, intent: Intent) -> Answer:
        """The same of a Revoke."""
        return await definite(lambda: self.caller.revoke(intent, CALL_SECONDS), TRIES_MAX)

    async def batch(self, intents: Sequence[Intent]) -> list[Answer]:
        """The definite answers to one RedeemBatch; where that was not answered in time, those to a
        Redeem each."""
        replies = await self.caller.redeem_batch(intents, poison=False)
        answers = [reply.answer for reply in replies]
        return [
            answer if answer.is_definite else await self.redeem(intent)
            for intent, answer in zip(intents, answers, strict=True)
        ]

    @contextlib.asynccontextmanager
    async def holding(self, lock: str, of: UUID) -> AsyncIterator[None]:
        """OFFER_LOCK or REDEMPTION_LOCK is held until the block ends."""
        connection = await asyncpg.connect(self.build.database_url)
        try:
            async with connection.transaction():
                if await connection.execute(lock, of) != "SELECT 1":
                    raise StageError(f"there is nothing to lock: {lock}")
                yield
        finally:
            await connection.close()

    async def behind(
        self, lock: str, of: UUID, *calls: Callable[[], Coroutine[Any, Any, Any]]
    ) -> None:
        """Make the calls while the lock is held, each after those before it are seen to wait; then
        let go, and wait for all of them."""
        async with asyncio.TaskGroup() as group, self.holding(lock, of):
            for number, call in enumerate(calls, 1):
                group.create_task(call())
                await self.until_waiting(number)

    @contextlib.asynccontextmanager
    async def revoking(self, intent: Intent) -> AsyncIterator[None]:
        """Another session revokes the request, which commits when the block ends."""
        connection = await asyncpg.connect(self.build.database_url)
        try:
            number = self.caller.log.next_number()
            sent_at = time.monotonic()
            self.caller.log.write(Sending(number, intent.request_id, Method.REVOKE, sent_at))
            async with connection.transaction():
                row = await connection.fetchrow(
                    queries.text("revoke"), intent.tenant_id, intent.request_id, ""
                )
                if row is None or row["o_outcome"] != "tombstoned":
                    raise StageError("the request was known already")
                yield
            told = RevokeResponse(outcome=REVOKE_OUTCOME_TOMBSTONED)
            body = told.SerializeToString()
            self.caller.log.write(Hearing(number, time.monotonic(), OK, body))
        finally:
            await connection.close()

    async def until_waiting(self, sessions: int) -> None:
        """So many sessions of the servers wait for locks."""

        async def enough() -> bool:
            return bool(await self.owner.fetchval(WAITING_QUERY) >= sessions)

        await self.until(enough, f"{sessions} sessions that wait")

    async def until_writable(self, *, wanted: bool = True) -> None:
        """Every worker says that it can write; or not every one does."""

        async def as_wanted() -> bool:
            return await asyncio.to_thread(self.build.is_writable) == wanted

        await self.until(as_wanted, f"that all workers can write is {wanted}")

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        """Raises StageError when it does not come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not await holds():
            if time.monotonic() > deadline:
                raise StageError(f"not within {PATIENCE_SECONDS:.0f} s: {what}")
            await asyncio.sleep(POLL_SECONDS)

    def find(self, check: str, sentence: str, *violations: str) -> None:
        """A verdict of the scenario's own; it passed when there are no violations."""
        self.findings.append(Finding(check, sentence, len(violations), violations))

    async def judge(self) -> tuple[Finding, ...]:
        """All verdicts: the audit's and the scenario's own."""
        history = self.history()
        audited = await audit(self.build.database_url, history) if history.goals else None
        return (*(audited.findings if audited else ()), *self.findings)

    def history(self) -> History:
        """What the clients wrote down of the goals' offers."""
        offers = {goal.offer_id for goal in self.goals}
        attempts = [
            attempt
            for request_id, attempt in read_told([self.log]).attempts.items()
            if attempt.offer_id in offers and request_id not in self.ignored
        ]
        edits = [edit for edit in self.edits if edit.offer_id in offers]
        return History(self.tenant_id, self.goals, attempts, edits, is_whole=True)


async def definite(send: Callable[[], Awaitable[Any]], tries: int) -> Answer:
    """The answer that settles it, or the last one."""
    for _ in range(tries):
        reply = await send()
        answer: Answer = reply.answer
        if answer.is_definite:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return answer
