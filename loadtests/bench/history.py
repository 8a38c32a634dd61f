"""The table in docs/benchmarks/README.md, made of the results kept beside it.

`./dev python -m loadtests.bench.history` writes it anew. Only what the table needs is read of a
result, so that it stays readable when the document grows.
"""

from pathlib import Path

import msgspec

from loadtests.pages.markdown import table, with_part
from loadtests.pages.render import spoken, write_whole

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
PAGE = FOLDER / "README.md"
PART = "results"
# Column -> the judged figure that it quotes; the others are in the result's own page.
QUOTED = {
    "hot : echo": "hot_echo",
    "hot : textbook": "hot_textbook",
    "batch : unary": "batch_unary",
    "p99 at 50 %, ms": "p99_at_50",
}
HEADINGS = ("run", "machine", *QUOTED, "first targets", "goals", "audited", "exact")


class Figure(msgspec.Struct, frozen=True):
    """Of a result's judged figures."""

    median: float
    met_first: bool
    met_goal: bool


class Audit(msgspec.Struct, frozen=True):
    """Of a whole result."""

    passed: bool
    redemptions: int


class Machine(msgspec.Struct, frozen=True):
    """Of a result."""

    cores: int
    cpu: str


class Result(msgspec.Struct, frozen=True):
    """What the table shows of one results.Document."""

    started_at: str
    quick: bool
    ratios: dict[str, Figure]
    latency_ms: dict[str, Figure]
    memory_mb: dict[str, Figure]
    audit: Audit
    machine: Machine

    @property
    def judged(self) -> dict[str, Figure]:
        """All figures with targets."""
        return {**self.ratios, **self.latency_ms, **self.memory_mb}


def main() -> None:
    """Writes the page when its table is old."""
    text = PAGE.read_text()
    wanted = with_part(text, PART, results_in(FOLDER))
    if wanted != text:
        write_whole(PAGE, wanted)
    print(f"{PAGE.relative_to(FOLDER.parents[1])}: {'written' if wanted != text else 'up to date'}")


def results_in(folder: Path) -> str:
    """A table, the newest run first; a sentence when there is none."""
    results = {file: msgspec.json.decode(file.read_bytes(), type=Result) for file in files(folder)}
    if not results:
        return "No result is kept yet.\n"
    newest_first = sorted(results, key=lambda file: results[file].started_at, reverse=True)
    return table(HEADINGS, [cells_of(file, results[file]) for file in newest_first])


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def cells_of(file: Path, result: Result) -> tuple[str, ...]:
    """One row."""
    judged = result.judged
    quoted = [spoken(judged[name].median) if name in judged else "" for name in QUOTED.values()]
    kind = "quick" if result.quick else "full"
    return (
        f"[{result.started_at[:10]}]({file.name}), {kind}",
        f"{result.machine.cores} x {result.machine.cpu}",
        *quoted,
        f"{sum(one.met_first for one in judged.values())} of {len(judged)}",
        f"{sum(one.met_goal for one in judged.values())} of {len(judged)}",
        f"{result.audit.redemptions:,}",
        "yes" if result.audit.passed else "NO",
    )


if __name__ == "__main__":
    main()
