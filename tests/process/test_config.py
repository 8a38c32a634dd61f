"""Settings: what is refused, and whether the refusal helps."""

import base64
import os
from pathlib import Path

import pytest

from guerdon.config import (
    Settings,
    SettingsInvalid,
    load_settings,
    settings_from_json,
    settings_to_json,
)

DATABASE = "postgresql://guerdon_login:mGx0Zr9wQ2@db.internal:5432/guerdon"
PEPPER = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("GUERDON_", "OTEL_")) or name in ("DATABASE_URL", "REDIS_URL"):
            monkeypatch.delenv(name)


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in {"DATABASE_URL": DATABASE, **variables}.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(monkeypatch, **variables)
    return str(caught.value)


def test_production_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch).environment == "production"


def test_a_missing_database_is_named_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "DATABASE_URL is not set" in refusal(monkeypatch, DATABASE_URL="")


def test_a_database_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = refusal(monkeypatch, DATABASE_URL="mysql://u:p4ssw0rd!@h/d")
    assert "DATABASE_URL must begin with postgres://" in text
    assert "p4ssw0rd" not in text


@pytest.mark.parametrize("password", ["changeme", "Change-Me", "postgres", "PASSWORD", "***"])
def test_production_refuses_placeholders(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    url = f"postgresql://u:{password}@h/d"
    assert "DATABASE_URL has a placeholder" in refusal(monkeypatch, DATABASE_URL=url)
    load(monkeypatch, DATABASE_URL=url, GUERDON_ENVIRONMENT="development")


def test_production_refuses_reflection(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "GUERDON_REFLECTION must be off" in refusal(monkeypatch, GUERDON_REFLECTION="1")
    assert load(monkeypatch, GUERDON_REFLECTION="1", GUERDON_ENVIRONMENT="development").reflection


def test_production_refuses_failpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = str(tmp_path)
    text = refusal(monkeypatch, GUERDON_FAILPOINTS=folder)
    assert "GUERDON_FAILPOINTS is for tests" in text
    settings = load(monkeypatch, GUERDON_FAILPOINTS=folder, GUERDON_ENVIRONMENT="development")
    assert settings_from_json(settings_to_json(settings)).failpoints == tmp_path


def test_failpoints_must_name_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = refusal(
        monkeypatch, GUERDON_FAILPOINTS=str(tmp_path / "none"), GUERDON_ENVIRONMENT="development"
    )
    assert "GUERDON_FAILPOINTS: Path does not point to a directory" in text


@pytest.mark.parametrize(
    ("pepper", "problem"),
    [
        ("abcd", "holds 2 bytes"),
        ("not a secret, but a sentence of some length", "neither base64 nor hex"),
        ("0" * 64, "is not random"),
    ],
)
def test_a_weak_pepper_is_refused(
    monkeypatch: pytest.MonkeyPatch, pepper: str, problem: str
) -> None:
    text = refusal(monkeypatch, GUERDON_API_KEY_PEPPER=pepper, GUERDON_ENVIRONMENT="development")
    assert problem in text
    assert pepper not in text


@pytest.mark.parametrize("text", [PEPPER, PEPPER.rstrip("="), bytes(range(32)).hex()])
def test_a_pepper_may_be_base64_or_hex(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert load(monkeypatch, GUERDON_API_KEY_PEPPER=text).pepper == bytes(range(32))


def test_a_missing_pepper_is_told_to_whom_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match="GUERDON_API_KEY_PEPPER is not set"):
        _ = load(monkeypatch).pepper


def test_every_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = refusal(monkeypatch, GUERDON_WORKERS="0", GUERDON_PORT="70000")
    assert "GUERDON_WORKERS" in text
    assert "GUERDON_PORT" in text


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = repr(load(monkeypatch, GUERDON_API_KEY_PEPPER=PEPPER))
    assert "mGx0Zr9wQ2" not in shown
    assert PEPPER not in shown


def test_a_worker_reads_what_its_parent_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, GUERDON_API_KEY_PEPPER=PEPPER, REDIS_URL="redis://h:6379/0")
    monkeypatch.setenv("GUERDON_WORKERS", "not a number")
    assert settings_from_json(settings_to_json(settings)) == settings
