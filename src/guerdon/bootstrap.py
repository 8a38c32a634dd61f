"""The composition root: the only file that wires adapters, planes and transport together."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_bytes
from typing import Any

import asyncpg
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from uuid_utils.compat import uuid7

from guerdon.adapters.authenticator import KeyAuthenticator
from guerdon.adapters.catalogue.catalogue import Catalogue
from guerdon.adapters.postgres.api_keys import PostgresApiKeys
from guerdon.adapters.postgres.catalogue import PostgresOfferReader
from guerdon.adapters.postgres.changes import ChangeListener
from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.adapters.postgres.server_checks import WriteProof, check_server
from guerdon.adapters.postgres.tenants import PostgresTenants
from guerdon.adapters.redis.admission import NoAdmission, RedisAdmission
from guerdon.adapters.redis.breaker import Breaker
from guerdon.adapters.redis.changes import (
    NoChangePublisher,
    RedisChangePublisher,
    RedisChangeSubscriber,
)
from guerdon.adapters.redis.offers import NoOfferShelf, RedisOfferShelf
from guerdon.config import Environment, Settings
from guerdon.controlplane.api_keys import ApiKeys
from guerdon.controlplane.found_tenant import FoundTenant, NewTenant
from guerdon.controlplane.offers import Offers
from guerdon.controlplane.push_facts import PushFacts
from guerdon.controlplane.seed_demo import SeedDemo
from guerdon.dataplane.applicable import ApplicableOffers
from guerdon.dataplane.check_eligibility import CheckEligibility
from guerdon.dataplane.get_redemption import GetRedemption
from guerdon.dataplane.list_applicable_offers import ListApplicableOffers
from guerdon.dataplane.list_redemptions import ListRedemptions
from guerdon.dataplane.observer import Observer
from guerdon.dataplane.quote import Quote
from guerdon.dataplane.redeem import Redeem
from guerdon.dataplane.redeem_batch import RedeemBatch
from guerdon.dataplane.revoke import Revoke
from guerdon.domain.api_keys import hash_secret, parse_key
from guerdon.domain.errors import GuerdonError
from guerdon.domain.identifiers import TenantId
from guerdon.limits import BATCHES_IN_FLIGHT_MAX, REDIS_SHELF_TIMEOUT_SECONDS
from guerdon.ports import (
    Admission,
    ApiKeyStore,
    Authenticator,
    ChangePublisher,
    ChangeSink,
    OfferCatalogue,
    OfferShelf,
    RedemptionStore,
    TenantStore,
)
from guerdon.serving.addresses import shown_address
from guerdon.serving.failpoints import (
    Failpoints,
    WatchedAdmission,
    WatchedDatabase,
    WatchedPipeline,
    WatchedServicer,
    WatchedStore,
)
from guerdon.serving.messages import CannotServe, NotYet
from guerdon.serving.tasks import end
from guerdon.serving.tracing import call_interceptors
from guerdon.telemetry import Metrics, PrometheusMetrics
from guerdon.transport import api_key_service, fact_service, offer_admin_service, offer_service
from guerdon.transport.api_key_service import ApiKeyServicer
from guerdon.transport.fact_service import FactServicer
from guerdon.transport.offer_admin_service import OfferAdminServicer
from guerdon.transport.offer_service import DataPlane, OfferServicer
from guerdon.transport.pipeline import Pipeline
from guerdon.transport.server import GrpcServer

log = structlog.get_logger()


@dataclass(frozen=True)
class Application:
    """A server that is built and not yet started, and what its process does beside it."""

    server: GrpcServer
    database: Database
    admission: Admission
    write_proof: WriteProof
    metrics: Metrics

    async def prove_writable(self) -> None:
        """Raises a GuerdonError when nothing can be written."""
        await self.write_proof.prove()

    def sample_gauges(self) -> None:
        """Tell what changes too often to be told at each change."""
        self.metrics.pool_changed(self.database.connections_in_use)
        self.metrics.redis_changed(self.admission.available)


@dataclass(frozen=True)
class RedisParts:
    """What Redis does for the planes, or what stands in for it in Postgres-only mode."""

    admission: Admission
    shelf: OfferShelf
    publisher: ChangePublisher
    subscribe: Callable[[list[ChangeSink]], Coroutine[Any, Any, None]] | None


@dataclass(frozen=True)
class ControlPlane:
    """What admins and other systems write through."""

    offers: Offers
    facts: PushFacts
    keys: ApiKeys
    key_store: ApiKeyStore
    tenants: TenantStore


@asynccontextmanager
async def application(settings: Settings, metrics: Metrics) -> AsyncIterator[Application]:
    """Everything built and checked; raises CannotServe or NotYet. Closes it all in the end."""
    async with AsyncExitStack() as stack:
        database = await open_database(settings)
        stack.push_async_callback(database.close)
        await refuse_unsound(settings, database)
        points = None if settings.failpoints is None else Failpoints(settings.failpoints)
        parts = _redis_parts(settings, metrics, stack)
        admission = parts.admission if points is None else WatchedAdmission(parts.admission, points)
        catalogue = Catalogue(PostgresOfferReader(database), parts.shelf, time.monotonic, metrics)
        stack.push_async_callback(catalogue.close)
        keys = PostgresApiKeys(database)
        authenticator = KeyAuthenticator(keys, settings.pepper, time.monotonic, metrics)
        stack.push_async_callback(authenticator.close)
        _hear_changes(settings, parts, [catalogue, authenticator], stack)
        plane = _data_plane(_store(database, points), admission, catalogue, metrics, stack)
        control = _control_plane(database, settings, catalogue, parts.publisher)
        services: list[tuple[ServiceDescriptor, object]] = [
            (offer_service.SERVICE, _servicer(plane, points)),
            (offer_admin_service.SERVICE, OfferAdminServicer(control.offers)),
            (fact_service.SERVICE, FactServicer(control.facts)),
            (api_key_service.SERVICE, ApiKeyServicer(control.keys)),
        ]
        server = GrpcServer(
            services,
            _pipeline(authenticator, metrics, points),
            reflect=settings.reflection,
            interceptors=call_interceptors(settings),
        )
        server.listen(shown_address(settings.host, settings.port))
        yield Application(server, database, admission, WriteProof(database), metrics)


def _store(database: Database, points: Failpoints | None) -> RedemptionStore:
    if points is None:
        return PostgresRedemptions(database)
    return WatchedStore(WatchedDatabase(database, points), points)


def _servicer(plane: DataPlane, points: Failpoints | None) -> OfferServicer:
    return OfferServicer(plane) if points is None else WatchedServicer(plane, points)


def _pipeline(
    authenticator: Authenticator, metrics: Metrics, points: Failpoints | None
) -> Pipeline:
    if points is None:
        return Pipeline(authenticator, metrics)
    return WatchedPipeline(authenticator, metrics, points)


def _data_plane(
    store: RedemptionStore,
    admission: Admission,
    catalogue: OfferCatalogue,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> DataPlane:
    places = asyncio.Semaphore(BATCHES_IN_FLIGHT_MAX)
    observer = Observer(store, places, metrics)
    stack.push_async_callback(observer.close)
    redeem = Redeem(catalogue, admission, store, places, metrics, _now)
    stack.push_async_callback(redeem.close)
    applicable = ApplicableOffers(catalogue, observer, _now)
    return DataPlane(
        check_eligibility=CheckEligibility(catalogue, observer, _now),
        quote=Quote(catalogue, observer, applicable, _now),
        redeem=redeem,
        redeem_batch=RedeemBatch(redeem),
        revoke=Revoke(store, admission),
        get_redemption=GetRedemption(store),
        list_redemptions=ListRedemptions(store),
        list_applicable_offers=ListApplicableOffers(catalogue, applicable),
    )


def _redis_parts(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> RedisParts:
    if settings.redis_url is None:
        return RedisParts(NoAdmission(), NoOfferShelf(), NoChangePublisher(), None)
    url = settings.redis_url.get_secret_value()
    redis = _open_redis(url, REDIS_SHELF_TIMEOUT_SECONDS, stack)
    listening = _open_redis(url, None, stack)
    breaker = Breaker(time.monotonic, metrics)
    admission = RedisAdmission(redis, breaker)
    stack.push_async_callback(admission.close)
    return RedisParts(
        admission,
        RedisOfferShelf(redis, breaker, settings.pepper),
        RedisChangePublisher(redis, breaker),
        lambda sinks: RedisChangeSubscriber(listening, sinks).run(),
    )


def _open_redis(url: str, timeout_seconds: float | None, stack: AsyncExitStack) -> Redis:
    """A client that connects when it is used, and leaves retries to the breaker."""
    client = Redis.from_url(
        url,
        protocol=2,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=REDIS_SHELF_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    stack.push_async_callback(client.aclose)
    return client


def _hear_changes(
    settings: Settings, parts: RedisParts, sinks: list[ChangeSink], stack: AsyncExitStack
) -> None:
    listener = ChangeListener(settings.direct_url, sinks)
    _run_beside(listener.run(), stack)
    if parts.subscribe is not None:
        _run_beside(parts.subscribe(sinks), stack)


def _run_beside(work: Coroutine[Any, Any, None], stack: AsyncExitStack) -> None:
    stack.push_async_callback(end, asyncio.create_task(work))


@asynccontextmanager
async def control_plane(settings: Settings) -> AsyncIterator[ControlPlane]:
    """The control plane alone, for the command line: without Redis, NOTIFY tells the servers."""
    async with AsyncExitStack() as stack:
        database = await open_database(settings)
        stack.push_async_callback(database.close)
        metrics = PrometheusMetrics(CollectorRegistry())
        reader = PostgresOfferReader(database)
        catalogue = Catalogue(reader, NoOfferShelf(), time.monotonic, metrics)
        stack.push_async_callback(catalogue.close)
        yield _control_plane(database, settings, catalogue, NoChangePublisher())


async def ensure_demo(settings: Settings, known_key: str | None) -> str:
    """The demo tenant's key: the known one while it is good, else a new one."""
    async with control_plane(settings) as plane:
        is_good = known_key is not None and await _is_good_key(plane, settings, known_key)
        seed = SeedDemo(plane.tenants, plane.offers, plane.facts, plane.keys, _now)
        seeded = await seed(new_key=not is_good)
        return seeded.api_key or known_key or ""


async def found_tenant(settings: Settings, wanted: NewTenant) -> TenantId:
    """The new tenant's id; see FoundTenant. No pepper is needed: keys come later."""
    database = await open_database(settings)
    try:
        return await FoundTenant(PostgresTenants(database), uuid7)(wanted)
    finally:
        await database.close()


async def _is_good_key(plane: ControlPlane, settings: Settings, key: str) -> bool:
    """Whether the database knows the key, under the settings' pepper, and it has not ended."""
    presented = parse_key(key)
    if presented is None:
        return False
    proof = await plane.key_store.find_proof(presented.tenant_id, presented.key_id)
    if proof is None or proof.revoked or proof.seconds_left == 0:
        return False
    return proof.secret_hash == hash_secret(settings.pepper, presented.secret)


def _control_plane(
    database: Database, settings: Settings, catalogue: OfferCatalogue, publisher: ChangePublisher
) -> ControlPlane:
    key_store = PostgresApiKeys(database)
    return ControlPlane(
        offers=Offers(PostgresOffers(database), catalogue, publisher, _now, uuid7),
        facts=PushFacts(PostgresFacts(database), publisher, _now),
        keys=ApiKeys(key_store, publisher, settings.pepper, _now, token_bytes),
        key_store=key_store,
        tenants=PostgresTenants(database),
    )


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


def _now() -> datetime:
    return datetime.now(UTC)
