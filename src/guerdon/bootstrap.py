"""The composition root: the only file that wires adapters, planes and transport together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import structlog

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.server_checks import WriteProof, check_server
from guerdon.config import Environment, Settings
from guerdon.domain.errors import GuerdonError
from guerdon.serving.addresses import shown_address
from guerdon.serving.messages import CannotServe, NotYet
from guerdon.telemetry import Metrics
from guerdon.transport.pipeline import Pipeline
from guerdon.transport.server import GrpcServer

log = structlog.get_logger()


@dataclass(frozen=True)
class Application:
    """A server that is built and not yet started, and what its process does beside it."""

    server: GrpcServer
    database: Database
    write_proof: WriteProof
    metrics: Metrics

    async def prove_writable(self) -> None:
        """Raises a GuerdonError when nothing can be written."""
        await self.write_proof.prove()

    def sample_gauges(self) -> None:
        """Tell what changes too often to be told at each change."""
        self.metrics.pool_changed(self.database.connections_in_use)


@asynccontextmanager
async def application(settings: Settings, metrics: Metrics) -> AsyncIterator[Application]:
    """Everything built and checked; raises CannotServe or NotYet. Closes it all in the end."""
    async with AsyncExitStack() as stack:
        database = await open_database(settings)
        stack.push_async_callback(database.close)
        await refuse_unsound(settings, database)
        pipeline = Pipeline(None, metrics)
        server = GrpcServer([], pipeline, reflect=settings.reflection)
        server.listen(shown_address(settings.host, settings.port))
        yield Application(server, database, WriteProof(database), metrics)


async def open_database(settings: Settings) -> Database:
    """The pool. Raises NotYet while Postgres is away."""
    try:
        return await Database.open(
            settings.database_url.get_secret_value(),
            role=settings.role,
            statement_cache_size=settings.database_statement_cache_size,
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise NotYet(f"Postgres cannot be reached: {type(error).__name__}: {error}") from error


async def refuse_unsound(settings: Settings, database: Database) -> None:
    """Raises CannotServe for a database that would break a promise; logs what is only doubtful."""
    try:
        findings = await check_server(database)
    except GuerdonError as error:
        raise NotYet(f"Postgres cannot be asked: {error.__cause__ or error}") from error
    if settings.environment is Environment.PRODUCTION:
        for warning in findings.warnings:
            log.warning(warning)
    if findings.refusals:
        raise CannotServe("\n".join(findings.refusals))
