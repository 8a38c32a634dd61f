"""`guerdon doctor`: what a server would find with these settings, without serving."""

import asyncio

import redis.asyncio
import typer
from redis.exceptions import RedisError

from guerdon import bootstrap
from guerdon.adapters.postgres.server_checks import WriteProof, check_server
from guerdon.cli.console import explained, output
from guerdon.cli.present import present_settings
from guerdon.config import Settings
from guerdon.domain.errors import GuerdonError
from guerdon.limits import BATCH_SECONDS_MAX
from guerdon.serving.messages import ExitCode


def doctor() -> None:
    """Check the settings, Postgres and Redis as a server would at its start."""
    with explained():
        settings = present_settings()
        assert settings.pepper
        if not asyncio.run(_examine(settings)):
            raise typer.Exit(ExitCode.CONFIGURATION)


async def _examine(settings: Settings) -> bool:
    """Whether a server could serve."""
    _say("ok", "The settings can be used.")
    return await _examine_postgres(settings) & await _examine_redis(settings)


async def _examine_postgres(settings: Settings) -> bool:
    database = await bootstrap.open_database(settings)
    try:
        findings = await check_server(database)
        for text in findings.refusals:
            _say("no", text)
        for text in findings.warnings:
            _say("mind", text)
        if findings.refusals:
            return False
        await WriteProof(database).prove()
    except GuerdonError as error:
        _say("no", f"Postgres cannot be written to: {error.__cause__ or error}")
        return False
    finally:
        await database.close()
    _say("ok", "Postgres is sound and can be written to.")
    return True


async def _examine_redis(settings: Settings) -> bool:
    if settings.redis_url is None:
        _say("mind", "REDIS_URL is not set: the server works in Postgres-only mode.")
        return True
    client = redis.asyncio.from_url(settings.redis_url.get_secret_value())
    try:
        async with asyncio.timeout(BATCH_SECONDS_MAX), client:
            await client.ping()
    except (RedisError, OSError, TimeoutError) as error:
        _say("mind", f"Redis does not answer ({error}): the server works in Postgres-only mode.")
        return True
    _say("ok", "Redis answers.")
    return True


def _say(word: str, text: str) -> None:
    output.print(f"{word:5} {text}", markup=False)
