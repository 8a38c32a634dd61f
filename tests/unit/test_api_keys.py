"""The form of API keys."""

import os
from collections.abc import Callable

import pytest

from guerdon.domain.api_keys import KEY_CHARACTERS, hash_secret, make_key, parse_key
from guerdon.domain.identifiers import TenantId
from tests.support.ledger import new_id


def test_a_made_key_says_what_it_was_made_of() -> None:
    tenant_id = TenantId(new_id())
    made = make_key(tenant_id, os.urandom)
    assert len(made.text) == KEY_CHARACTERS
    assert parse_key(made.text) == made
    assert made.tenant_id == tenant_id


def test_a_secret_has_all_bits_of_its_source() -> None:
    low = make_key(TenantId(new_id()), lambda count: bytes(count))
    high = make_key(TenantId(new_id()), lambda count: b"\xff" * count)
    assert (low.secret, high.secret) == ("A" * 43, "_" * 42 + "8")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text + "A",
        lambda text: text[:-1],
        lambda text: text.upper(),
        lambda text: text + "\n",
        lambda text: text.replace("gdn_", "gdm_"),
        lambda text: text[:-1] + "\u0661",
        lambda text: " " + text,
    ],
)
def test_anything_else_is_no_key(change: Callable[[str], str]) -> None:
    made = make_key(TenantId(new_id()), os.urandom)
    assert parse_key(change(made.text)) is None


def test_a_hash_depends_on_the_pepper() -> None:
    assert hash_secret(b"one", "secret") != hash_secret(b"two", "secret")
    assert len(hash_secret(b"one", "secret")) == 32
