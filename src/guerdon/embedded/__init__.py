"""Postgres and a Redis-compatible server for development and tests, with nothing to install.

Every server runs under a keeper (keeper.py), which stops it as soon as its owner stops or dies.
"""

from guerdon.embedded.development import Servers, development_servers, running_servers
from guerdon.embedded.postgres import temporary_postgres
from guerdon.embedded.process import EmbeddedServerError
from guerdon.embedded.valkey import temporary_valkey

__all__ = [
    "EmbeddedServerError",
    "Servers",
    "development_servers",
    "running_servers",
    "temporary_postgres",
    "temporary_valkey",
]
