"""Settings, read once from the environment when a command starts. Bounds are in limits.py."""

import base64
import binascii
import json
from enum import StrEnum
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, DirectoryPath, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "GUERDON_"
PEPPER_BYTES_MIN = 32
PEPPER_RECIPE = "make one with `openssl rand -base64 32` and keep it: keys are checked by it"

MISSING = (
    "is not set; give the address of a Postgres, as in "
    "postgresql://user:password@host:5432/guerdon, or use `guerdon dev`, which brings its own"
)

# What people leave standing in examples. Compared lower-cased, without punctuation.
PLACEHOLDERS = frozenset(
    {
        "admin", "changeit", "changeme", "changethis", "default", "example", "guerdon",
        "insecure", "password", "placeholder", "postgres", "redis", "replaceme", "secret",
        "test", "todo", "xxx",
    }
)  # fmt: skip


class Environment(StrEnum):
    """Production is the default, so that what is unsafe has to be asked for."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """`auto` is `console` on a terminal and `json` elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class SettingsInvalid(Exception):
    """Settings that cannot be worked with; the text names each variable and what to do."""


class Settings(BaseSettings):
    """Each field is read from GUERDON_<NAME>, but for addresses that every platform names alike."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, populate_by_name=True, extra="ignore",
        env_ignore_empty=True,
    )  # fmt: skip

    environment: Environment = Environment.PRODUCTION
    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    database_direct_url: SecretStr | None = None
    """Past a transaction pooler, for LISTEN and migrations; DATABASE_URL when it is not given."""
    database_role: str = "guerdon_app"
    """The role to work as after connecting; `none` when the login is such a role itself."""
    database_statement_cache_size: Annotated[int, Field(ge=0, le=10_000)] = 100
    """0 behind a pooler that cannot track prepared statements."""
    redis_url: SecretStr | None = Field(default=None, validation_alias="REDIS_URL")
    """Without it the server works in Postgres-only mode."""
    api_key_pepper: SecretStr | None = None
    """32 bytes or more, as base64 or hex."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 50051
    """0 takes a free one; the server prints it."""
    monitor_host: str = "127.0.0.1"
    monitor_port: Annotated[int, Field(ge=0, le=65_535)] = 9464
    """HTTP with /metrics, /healthz and /readyz."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    reflection: bool = False
    failpoints: DirectoryPath | None = None
    """Where tests say at which points a server shall fail; see serving/failpoints.py."""

    log_format: LogFormat = LogFormat.AUTO
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices("GUERDON_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    )
    """gRPC address of an OpenTelemetry collector; without it nothing is exported."""
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Of calls that bring no trace of their own; others follow their caller's decision."""

    @model_validator(mode="after")
    def _can_be_worked_with(self) -> Self:
        problems = [*_address_problems(self), *_pepper_problems(self)]
        if self.environment is Environment.PRODUCTION:
            problems += _production_problems(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def pepper(self) -> bytes:
        """The key of the keyed hash; SettingsInvalid when none is set: few commands need it."""
        if self.api_key_pepper is None:
            raise SettingsInvalid(f"GUERDON_API_KEY_PEPPER is not set: {PEPPER_RECIPE}.")
        return decode_pepper(self.api_key_pepper.get_secret_value())

    @property
    def role(self) -> str | None:
        """The role to take on after connecting, if any."""
        return None if self.database_role == "none" else self.database_role

    @property
    def direct_url(self) -> str:
        """Where sessions with a state of their own connect to."""
        return (self.database_direct_url or self.database_url).get_secret_value()


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` (field names, None left out) win over it."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsInvalid(_explain(error)) from None


def decode_pepper(text: str) -> bytes:
    """The pepper's bytes from hex or base64 (either alphabet); ValueError with what is wrong."""
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        try:
            padded = text + "=" * (-len(text) % 4)
            secret = base64.b64decode(padded, altchars=b"-_" if set(text) & set("-_") else None,
                                      validate=True)  # fmt: skip
        except (ValueError, binascii.Error):
            raise ValueError("is neither base64 nor hex") from None
    if len(secret) < PEPPER_BYTES_MIN:
        raise ValueError(f"holds {len(secret)} bytes, at least {PEPPER_BYTES_MIN} are needed")
    if len(set(secret)) < PEPPER_BYTES_MIN // 4:
        raise ValueError("is not random")
    return secret


def settings_to_json(settings: Settings) -> str:
    """Everything, secrets included: for a pipe to an own child process, never for a log."""
    plain = settings.model_dump(mode="json")
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            plain[name] = value.get_secret_value()
    return json.dumps(plain)


def settings_from_json(text: str) -> Settings:
    """What settings_to_json wrote, without a look at this process's environment."""
    return Settings.model_validate_json(text)


def _address_problems(settings: Settings) -> list[str]:
    problems = []
    for variable, url, schemes in (
        ("DATABASE_URL", settings.database_url, ("postgres", "postgresql")),
        ("GUERDON_DATABASE_DIRECT_URL", settings.database_direct_url, ("postgres", "postgresql")),
        ("REDIS_URL", settings.redis_url, ("redis", "rediss", "unix")),
    ):
        if url is not None and urlsplit(url.get_secret_value()).scheme not in schemes:
            problems.append(
                f"{variable} must begin with {' or '.join(s + '://' for s in schemes)}."
            )
    return problems


def _pepper_problems(settings: Settings) -> list[str]:
    if settings.api_key_pepper is None:
        return []
    try:
        decode_pepper(settings.api_key_pepper.get_secret_value())
    except ValueError as error:
        return [f"GUERDON_API_KEY_PEPPER {error}: {PEPPER_RECIPE}."]
    return []


def _production_problems(settings: Settings) -> list[str]:
    problems = []
    if settings.reflection:
        problems.append("GUERDON_REFLECTION must be off in production: unset it.")
    if settings.failpoints is not None:
        problems.append(
            "GUERDON_FAILPOINTS is for tests, which kill servers by it: unset it in production."
        )
    for variable, url in (
        ("DATABASE_URL", settings.database_url),
        ("GUERDON_DATABASE_DIRECT_URL", settings.database_direct_url),
        ("REDIS_URL", settings.redis_url),
    ):
        if url is not None and _is_placeholder(urlsplit(url.get_secret_value()).password):
            problems.append(f"{variable} has a placeholder for its password: set one of your own.")
    return problems


def _is_placeholder(password: str | None) -> bool:
    bare = "".join(c for c in (password or "").lower() if c.isalnum())
    return bool(password) and (not bare or bare in PLACEHOLDERS)


def _explain(error: ValidationError) -> str:
    lines = ["The settings cannot be used:"]
    for problem in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            text = f"{_variable(name)} {MISSING}"
        else:
            text = str(problem["msg"]).removeprefix("Value error, ")
            text = f"{_variable(name)}: {text}" if name else text
        lines += [f"  {line}" for line in text.splitlines()]
    return "\n".join(lines)


def _variable(field: str) -> str:
    return field if field.isupper() else PREFIX + field.upper()
