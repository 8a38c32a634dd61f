"""The machine and the software that a run's figures hold for."""

import os
import platform
import statistics
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import asyncpg
import psutil
import redis.asyncio

from guerdon.embedded.places import temporary_base
from loadtests.bench.memory import MEGABYTE
from loadtests.bench.results import Machine

PACKAGES = ("guerdon", "grpcio", "protobuf", "asyncpg", "uvloop", "redis")
POSTGRES_SETTINGS = (
    "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers",
    "max_wal_size", "max_connections", "autovacuum",
)  # fmt: skip
# One page of Postgres, and how often it is written to see what a flush costs.
BLOCK_BYTES = 8192
FLUSHES = 200
MICROSECONDS = 1_000_000


async def machine_of(database_url: str, redis_url: str) -> Machine:
    """As it is now."""
    connection = await asyncpg.connect(database_url)
    try:
        settings = {
            row["name"]: row["setting"] + (row["unit"] or "")
            for row in await connection.fetch(
                "select name, setting, unit from pg_settings where name = any ($1)",
                [*POSTGRES_SETTINGS, "server_version"],
            )
        }
    finally:
        await connection.close()
    versions = {
        "python": platform.python_version(),
        "postgres": settings.pop("server_version"),
        "redis": await redis_version(redis_url),
        **{name: version(name) for name in PACKAGES},
    }
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores(),
        cpu=cpu_model(),
        memory_mb=round(psutil.virtual_memory().total / MEGABYTE),
        kernel=f"{platform.system()} {platform.release()}",
        flush_microseconds=round(statistics.median(flush_times(temporary_base())), 1),
        versions=versions,
        postgres={name: settings[name] for name in POSTGRES_SETTINGS if name in settings},
    )


def cores() -> int:
    return os.cpu_count() or 1


async def redis_version(url: str) -> str:
    """With the name of the server where it is another one that speaks the same protocol."""
    client = redis.asyncio.Redis.from_url(url)
    try:
        info: dict[str, Any] = await client.info("server")
    finally:
        await client.aclose()
    name = info.get("server_name", "redis")
    own = info.get(f"{name}_version")
    return f"{info['redis_version']} ({name} {own})" if own else str(info["redis_version"])


def cpu_model() -> str:
    """As Linux names it, else what the platform says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def flush_times(folder: Path) -> Iterator[float]:
    """Microseconds to write a block and to have it on the disk, again and again: what a commit
    costs at least. `folder` is where temporary databases are kept."""
    block = os.urandom(BLOCK_BYTES)
    flush = getattr(os, "fdatasync", os.fsync)
    with NamedTemporaryFile(dir=folder) as file:
        for _ in range(FLUSHES):
            began = time.perf_counter()
            os.pwrite(file.fileno(), block, 0)
            flush(file.fileno())
            yield (time.perf_counter() - began) * MICROSECONDS
