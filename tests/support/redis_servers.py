"""A place of our own on a Redis that others may use as well."""

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import redis

# In logical database 0: which connection has taken the logical database of that number.
CLAIM = "guerdon:test-database:{number}"
# From the last one down: people use the first ones.
LOGICAL_DATABASES = range(15, 0, -1)


@contextlib.contextmanager
def empty_logical_database(server_url: str) -> Iterator[str]:
    """The URL of one that was empty, or that a killed run had left; it is emptied at the end."""
    claims = redis.Redis.from_url(at(server_url, 0), single_connection_client=True)
    with claims, redis.Redis.from_url(at(server_url, take(claims, server_url))) as own:
        number = own.connection_pool.connection_kwargs["db"]
        own.flushdb()
        yield at(server_url, number)
        own.flushdb()
        claims.delete(CLAIM.format(number=number))


def take(claims: redis.Redis, server_url: str) -> int:
    """Connection numbers are never given out again, so a claim without its connection is dead."""
    living = {str(client["id"]).encode() for client in claims.client_list()}
    me = str(claims.client_id()).encode()
    for number in LOGICAL_DATABASES:
        claim = CLAIM.format(number=number)
        earlier = claims.get(claim)
        if earlier in living:
            continue
        if earlier is None and is_in_use(at(server_url, number)):
            continue
        if claims.set(claim, me, nx=earlier is None):
            return number
    raise RuntimeError("every logical database of REDIS_URL from 1 to 15 is in use")


def is_in_use(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        keys: int = client.dbsize()
        return keys > 0


def at(server_url: str, number: int) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{number}"))
