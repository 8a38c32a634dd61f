"""Postgres through asyncpg: stores, migrations, errors."""
