"""The table of kept results is the one that the results make."""

from pathlib import Path

import msgspec
import pytest

from loadtests.bench.history import FOLDER, PAGE, PART, results_in
from loadtests.pages.markdown import with_part
from tests.docs.pages import rows
from tests.loadtests.sample_runs import benchmark


def test_the_table_is_up_to_date() -> None:
    text = PAGE.read_text()
    assert with_part(text, PART, results_in(FOLDER)) == text, (
        "run ./dev python -m loadtests.bench.history"
    )


def test_a_kept_result_is_a_row_with_its_figures(tmp_path: Path) -> None:
    older = benchmark()
    machine = msgspec.structs.replace(older.machine, cpu="a|b")
    newer = msgspec.structs.replace(older, started_at="2031-01-01T00:00:00Z", machine=machine)
    (tmp_path / "a.json").write_bytes(msgspec.json.encode(older))
    (tmp_path / "b.json").write_bytes(msgspec.json.encode(newer))
    first, second = rows(results_in(tmp_path).replace("\\|", "/"))
    assert first[:2] == ["[2031-01-01](b.json), quick", "2 x a/b"]
    assert second[0] == "[2030-01-02](a.json), quick"
    assert second[2:] == ["0.674", "", "", "10.1", "3 of 4", "0 of 4", "173,001", "yes"]


def test_a_page_without_its_markers_is_not_written() -> None:
    with pytest.raises(ValueError, match="results: begin"):
        with_part("# Results\n", PART, "")
