"""Failpoints: where a test may kill, stop or fail a server on the way of a Redeem.

Only where GUERDON_FAILPOINTS names a folder, does bootstrap.py put these wrappers around the parts
that they watch; a server without it holds none of this. To arm a point, a test renames a file to
`<folder>/K4` which says what to do there. The process that renames it to `K4.<pid>` has reached the
point first and does as it says, so one order meets exactly one process, and tells which.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from guerdon.adapters.postgres import queries
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.adapters.redis.admission import RedisAdmission
from guerdon.api.offers.v1 import offer_service_pb2 as service_pb2
from guerdon.domain.errors import DependencyUnavailable, GuerdonError, OutcomeUnknown
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.domain.redemption import RedemptionItem
from guerdon.limits import BATCH_SECONDS_MAX
from guerdon.ports import Admission, Authenticator, BatchAnswer, Counters, Road
from guerdon.telemetry import Metrics
from guerdon.transport.call import Call
from guerdon.transport.offer_service import SERVICE, DataPlane, OfferServicer
from guerdon.transport.pipeline import Context, Handler, Pipeline

REDEEM_PATH = f"/{SERVICE.full_name}/Redeem"
REDEEM_LABEL = f"{SERVICE.name}/Redeem"
# Seconds between looks at whether the locking function waits.
POLL_SECONDS = 0.005
# A build of redeem_v1 for tests takes an advisory lock before it returns; this one waits for it.
WAITS_QUERY = """
    select exists (select from pg_locks where pid = $1 and locktype = 'advisory' and not granted)
"""


class Failpoint(StrEnum):
    """The points, in the order in which a Redeem reaches them."""

    RECEIVED = "K0"
    """The call is here and its bytes are not parsed."""
    VALIDATED = "K1"
    """Key, scope and fields are good."""
    SORTED = "K2"
    """Redis said which road."""
    LOCKED = "K3"
    """The locking function waits before it returns, which only a build for tests does."""
    SENT = "K4"
    """The statement is on the wire and its answer is not read."""
    ACKNOWLEDGED = "K5"
    """The answer is read: the batch is committed."""
    TOLD = "K6"
    """Redis knows the counters. The reply may be sent by now."""
    REPLIED = "K7"
    """The reply is sent."""


class Order(StrEnum):
    """What a file in the folder may say."""

    KILL = "kill"
    """SIGKILL to the process itself."""
    STOP = "stop"
    """SIGSTOP to the process itself; whoever wrote the file lets it continue."""
    ERROR = "error"
    """Fail as a dependency does whose connection is lost; past K5 nobody is left to hear of it."""


class Failpoints:
    """The folder, as one process sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def is_armed(self, *points: Failpoint) -> bool:
        """Whether somebody waits for a process to reach one of the points."""
        return any((self._folder / point).exists() for point in points)

    def reach(self, point: Failpoint, error: Callable[[], Exception]) -> None:
        """Do what the point's file says, if there is one; raises `error()` for Order.ERROR."""
        pid = os.getpid()
        taken = self._folder / f"{point}.{pid}"
        try:
            (self._folder / point).rename(taken)
        except FileNotFoundError:
            return
        match Order(taken.read_text().strip()):
            case Order.KILL:
                os.kill(pid, signal.SIGKILL)
            case Order.STOP:
                os.kill(pid, signal.SIGSTOP)
            case Order.ERROR:
                raise error()


class WatchedPipeline(Pipeline):
    """The pipeline with K0 before and K7 after each Redeem."""

    def __init__(self, authenticator: Authenticator, metrics: Metrics, points: Failpoints) -> None:
        super().__init__(authenticator, metrics)
        self._points = points

    def wrap(self, service: ServiceDescriptor, servicer: object) -> dict[str, Handler]:
        """As the pipeline does."""
        handlers = super().wrap(service, servicer)
        if REDEEM_PATH in handlers:
            inner: Any = handlers[REDEEM_PATH]
            watched = self._watched(inner.unary_unary)
            handlers[REDEEM_PATH] = grpc.unary_unary_rpc_method_handler(watched)
        return handlers

    def _watched(
        self, serve: Callable[[bytes, Context], Awaitable[bytes]]
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        def reach_replied(_: Context) -> None:
            self._points.reach(Failpoint.REPLIED, OutcomeUnknown)

        # The types of grpc.aio take no function here.
        when_done: Any = reach_replied

        async def watched(raw: bytes, context: Context) -> bytes:
            try:
                self._points.reach(Failpoint.RECEIVED, DependencyUnavailable)
            except GuerdonError as error:
                self._refuse(context, error, REDEEM_LABEL, None)
                return b""
            answer = await serve(raw, context)
            context.add_done_callback(when_done)
            return answer

        return watched


class WatchedServicer(OfferServicer):
    """The servicer with K1 before each Redeem."""

    def __init__(self, plane: DataPlane, points: Failpoints) -> None:
        super().__init__(plane)
        self._points = points

    async def redeem(
        self, message: service_pb2.RedeemRequest, call: Call
    ) -> service_pb2.RedeemResponse:
        """As the servicer does."""
        self._points.reach(Failpoint.VALIDATED, DependencyUnavailable)
        return await super().redeem(message, call)


class WatchedAdmission:
    """ports.Admission with K2 after it sorted, and K6 after it told what is committed."""

    def __init__(self, admission: Admission, points: Failpoints) -> None:
        self._admission = admission
        self._points = points
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def available(self) -> bool:
        """As the admission does."""
        return self._admission.available

    async def sort(
        self, tenant_id: TenantId, uses: Sequence[tuple[OfferId, CustomerId]]
    ) -> Sequence[Road]:
        """As the admission does."""
        roads = await self._admission.sort(tenant_id, uses)
        self._points.reach(Failpoint.SORTED, DependencyUnavailable)
        return roads

    def record(self, tenant_id: TenantId, counters: Sequence[Counters]) -> None:
        """As the admission does."""
        self._admission.record(tenant_id, counters)
        if self._points.is_armed(Failpoint.TOLD):
            telling = asyncio.create_task(self._reach_when_told())
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def _reach_when_told(self) -> None:
        if isinstance(self._admission, RedisAdmission):
            await self._admission.told()
        self._points.reach(Failpoint.TOLD, OutcomeUnknown)


class WatchedStore(PostgresRedemptions):
    """The store with K5 after it redeemed."""

    def __init__(self, database: "WatchedDatabase", points: Failpoints) -> None:
        super().__init__(database)
        self._points = points

    async def redeem(self, tenant_id: TenantId, items: Sequence[RedemptionItem]) -> BatchAnswer:
        """As the store does."""
        answer = await super().redeem(tenant_id, items)
        self._points.reach(Failpoint.ACKNOWLEDGED, OutcomeUnknown)
        return answer


class WatchedDatabase(Database):
    """The pool of another Database, with K4 and K3 while redeem_v1 runs."""

    def __init__(self, database: Database, points: Failpoints) -> None:
        super().__init__(database._pool)
        self._points = points

    async def call(self, sql: str, *arguments: Any) -> Any:
        """As the database does."""
        is_redeem = sql == queries.text("redeem")
        if not is_redeem or not self._points.is_armed(Failpoint.LOCKED, Failpoint.SENT):
            return await super().call(sql, *arguments)
        async with self.connection() as connection:
            # Prepared apart, so that the call is the first thing that the task sends.
            statement = await connection.prepare(sql)
            running = asyncio.create_task(statement.fetchrow(*arguments, timeout=BATCH_SECONDS_MAX))
            try:
                await self._reach_while(running, connection.get_server_pid())
            except ConnectionResetError:
                connection.terminate()
                await asyncio.gather(running, return_exceptions=True)
                raise
            return await running

    async def _reach_while(self, running: "asyncio.Task[Any]", backend_pid: int) -> None:
        # In the first turn of the loop the task writes, with the second that is on the wire.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._points.reach(Failpoint.SENT, ConnectionResetError)
        while self._points.is_armed(Failpoint.LOCKED) and not running.done():
            if (await super().call(WAITS_QUERY, backend_pid))[0]:
                self._points.reach(Failpoint.LOCKED, ConnectionResetError)
                return
            await asyncio.sleep(POLL_SECONDS)
