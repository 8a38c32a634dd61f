"""The whole application in this process, on a real Postgres and Redis, and tenants who call it."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import CollectorRegistry

from guerdon import bootstrap
from guerdon.config import Environment, Settings
from guerdon.domain.identifiers import TenantId
from guerdon.telemetry import PrometheusMetrics
from tests.grpc.gate import METHODS, Failure, read_failure
from tests.support.api_keys import insert_api_key
from tests.support.ledger import insert_tenant, new_id

# Methods of all services by their bare names, which differ.
PATHS = {path.rsplit("/", 1)[-1]: path for path in METHODS}


@dataclass(frozen=True)
class House:
    """The application and its database."""

    channel: grpc.aio.Channel
    owner: asyncpg.Connection
    pepper: bytes

    async def new_tenant(self) -> "Tenant":
        tenant_id = await insert_tenant(self.owner)
        key = await insert_api_key(self.owner, tenant_id, self.pepper)
        return Tenant(self.channel, tenant_id, key)

    async def content(self) -> dict[str, tuple[int, int]]:
        """Of every table its rows and a sum over them, which differ after any change."""
        tables = await self.owner.fetch(
            "select tablename from pg_tables where schemaname = 'guerdon' "
            "and tablename <> 'write_proofs'"
        )
        found = {}
        for (table,) in tables:
            row = await self.owner.fetchrow(
                f"select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) "
                f"from guerdon.{table} t"
            )
            assert row is not None
            found[table] = (row[0], int(row[1]))
        return found


@dataclass(frozen=True)
class Tenant:
    """A tenant with a key of every scope. Requests are written as JSON."""

    channel: grpc.aio.Channel
    tenant_id: TenantId
    key: str

    async def call(self, method: str, **fields: Any) -> Any:
        """The response of a call that must be answered with OK."""
        response, _ = await self.call_with_trailers(method, **fields)
        return response

    async def fail(self, method: str, **fields: Any) -> Failure:
        """The error of a call that must fail."""
        try:
            response = await self.call(method, **fields)
        except grpc.aio.AioRpcError as error:
            return read_failure(error)
        raise AssertionError(f"{method} answered {response}")

    async def call_with_trailers(self, method: str, **fields: Any) -> tuple[Any, dict[str, Any]]:
        path = PATHS[method]
        request = json_format.ParseDict(fields, GetMessageClass(METHODS[path].input_type)())
        metadata = (("x-api-key", self.key),)
        if METHODS[path].client_streaming:
            stream: Any = self.channel.stream_stream(path)
            call = stream([request.SerializeToString()], metadata=metadata, timeout=10)
            raw = await call.read()
        else:
            send: Any = self.channel.unary_unary(path)
            call = send(request.SerializeToString(), metadata=metadata, timeout=10)
            raw = await call
        trailers = dict(await call.trailing_metadata() or ())
        return GetMessageClass(METHODS[path].output_type).FromString(raw), trailers

    async def new_offer(self, **fields: Any) -> str:
        """The id of an active offer of 10 % for everyone, unless `fields` say otherwise."""
        given = {
            "title": "Ten off",
            "status": "active",
            "discount_type": "percentage",
            "discount_value": 10,
            "currency": "NGN",
            **fields,
        }
        return str((await self.call("CreateOffer", offer=given)).offer_id)

    async def redeem(self, offer_id: str, **fields: Any) -> Any:
        return await self.call("Redeem", **redeem_fields(offer_id, **fields))

    async def refuse(self, offer_id: str, **fields: Any) -> Failure:
        return await self.fail("Redeem", **redeem_fields(offer_id, **fields))


def redeem_fields(offer_id: str, **fields: Any) -> dict[str, Any]:
    """A Redeem of one piece at 100.00 by a new customer, unless `fields` say otherwise."""
    named = {} if "code" in fields else {"offer_id": offer_id}
    return {
        "request_id": str(new_id()),
        "customer_id": str(new_id()),
        "line": line(),
        "currency": "NGN",
        **named,
        **fields,
    }


def line(**fields: Any) -> dict[str, Any]:
    return {"quantity": 1, "unit_price_minor": 10_000, **fields}


@contextlib.asynccontextmanager
async def open_house(database_url: str, redis_url: str) -> AsyncIterator[House]:
    pepper = secrets.token_bytes(32)
    settings = Settings.model_validate(
        {
            "environment": Environment.DEVELOPMENT,
            "database_url": database_url,
            "redis_url": redis_url,
            "api_key_pepper": pepper.hex(),
            "port": 0,
        }
    )
    owner = await asyncpg.connect(database_url)
    metrics = PrometheusMetrics(CollectorRegistry())
    try:
        async with bootstrap.application(settings, metrics) as application:
            await application.server.start()
            address = f"127.0.0.1:{application.server.port}"
            async with grpc.aio.insecure_channel(address) as channel:
                yield House(channel, owner, pepper)
            await application.server.stop(1)
    finally:
        await owner.close()
