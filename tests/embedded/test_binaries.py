"""Finding the servers' binaries, and copying them to where their user can reach them."""

import stat
from pathlib import Path

import pytest

from guerdon.embedded import binaries
from guerdon.embedded.process import EmbeddedServerError


def test_a_copy_of_the_binaries_works_and_is_open_to_all(tmp_path: Path) -> None:
    candidate = next(
        one for one in binaries.postgres_candidates() if (one.folder / "postgres").exists()
    )
    copy = tmp_path / "copy"
    binaries.copy_whole(candidate, copy)
    copied = copy / candidate.folder.relative_to(candidate.base)
    assert binaries.postgres_major(copied) == binaries.postgres_major(candidate.folder) >= 15
    assert all(
        path.stat().st_mode & stat.S_IROTH for path in copy.rglob("*") if not path.is_symlink()
    )


def test_a_named_folder_comes_before_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_BIN_DIR", str(tmp_path))
    assert binaries.postgres_candidates()[0].folder == tmp_path


def test_a_folder_without_binaries_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_BIN_DIR", str(tmp_path))
    found = binaries.find_postgres.__wrapped__()
    assert found.folder != tmp_path
    assert found.major >= 15


def test_without_any_postgres_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "postgres_candidates", list)
    with pytest.raises(EmbeddedServerError, match=r"set DATABASE_URL .* `guerdon\[embedded\]`"):
        binaries.find_postgres.__wrapped__()
