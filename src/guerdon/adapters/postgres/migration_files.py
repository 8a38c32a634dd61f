"""Migrations as files: where they are, and what is in them.

`NNNN_name.sql` in dbmate's format, applied once, in the order of their numbers:

    -- migrate:up
    create table ...
    -- migrate:down
    drop table ...

A file runs in one transaction unless its first mark says `-- migrate:up transaction:false`; it then
holds a single statement that may run twice, as `create index concurrently if not exists` does.

`functions/*.sql` are repeatable: each holds `create or replace function`, and is applied anew
whenever it changed. Another signature is another function and another file.
"""

import hashlib
import re
from pathlib import Path

import msgspec

UP_MARK = re.compile(r"^-- migrate:up[ \t]*(.*)$", re.MULTILINE)
DOWN_MARK = re.compile(r"^-- migrate:down[ \t]*(.*)$", re.MULTILINE)
FILE_NAME = re.compile(r"[0-9]{4}_[a-z0-9_]+\.sql")


class MigrationError(Exception):
    """A migration cannot be read or applied; the text says which and what to do."""


class Migration(msgspec.Struct, frozen=True):
    """One file. `version` is its number as text, `sha256` the hash of all its bytes, in hex."""

    version: str
    name: str
    up: str
    down: str
    in_transaction: bool
    sha256: str


class FunctionFile(msgspec.Struct, frozen=True):
    """One repeatable file; `name` is the file's name."""

    name: str
    sql: str
    sha256: str


def default_folder() -> Path:
    """`guerdon/migrations` of an installed wheel, else `migrations` of the checkout."""
    package = Path(__file__).resolve().parents[2]
    candidates = (package / "migrations", package.parents[1] / "migrations")
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise MigrationError(f"no migrations were found in {' or '.join(map(str, candidates))}")


def read_migrations(folder: Path) -> list[Migration]:
    """In the order in which they are applied."""
    files = [path for path in sorted(folder.glob("*.sql")) if path.name != "schema.sql"]
    found = [read_migration(path) for path in files]
    versions = [migration.version for migration in found]
    if doubled := {version for version in versions if versions.count(version) > 1}:
        raise MigrationError(f"two migrations have the number {', '.join(sorted(doubled))}")
    return found


def read_migration(path: Path) -> Migration:
    if not FILE_NAME.fullmatch(path.name):
        raise MigrationError(f"{path.name} is not named NNNN_what_it_does.sql")
    text = path.read_text()
    up, down = UP_MARK.search(text), DOWN_MARK.search(text)
    if not up or not down or down.start() < up.start():
        raise MigrationError(f"{path.name} needs `-- migrate:up` and, after it, `-- migrate:down`")
    return Migration(
        version=path.name.split("_")[0],
        name=path.name,
        up=text[up.end() : down.start()],
        down=text[down.end() :],
        in_transaction="transaction:false" not in up[1],
        sha256=sha256(path),
    )


def read_functions(folder: Path) -> list[FunctionFile]:
    files = sorted((folder / "functions").glob("*.sql"))
    return [FunctionFile(path.name, path.read_text(), sha256(path)) for path in files]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
