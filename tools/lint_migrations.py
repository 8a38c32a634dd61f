"""Runs squawk over the up part of every migration.

The down parts only ever run where losing data is the wish, so "this drops a table" says nothing
there; and a file as a whole would always be found to drop what it has just created.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOWN_MARK = "-- migrate:down"


def main() -> int:
    found = [lint(path) for path in sorted((ROOT / "migrations").glob("[0-9]*.sql"))]
    if not found:
        print("there are no migrations")
    return max(found, default=0)


def lint(path: Path) -> int:
    """squawk's exit code for one file; line numbers stay those of the file."""
    up_part = path.read_text().split(DOWN_MARK)[0]
    name = str(path.relative_to(ROOT))
    command = ["squawk", "--stdin-filepath", name, "--reporter", "gcc"]
    return subprocess.run(command, input=up_part, text=True, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
