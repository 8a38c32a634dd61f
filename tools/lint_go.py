"""Checks the Go sources with the tools that come with Go: their format, and what vet finds."""

import sys
from pathlib import Path

from loadtests.bench.go import SOURCES, find_go, run


def main() -> int:
    go = str(find_go())
    gofmt = Path(run([go, "env", "GOROOT"], SOURCES).stdout.strip(), "bin", "gofmt")
    unformatted = run([str(gofmt), "-d", "."], SOURCES)
    vetted = run([go, "vet", "./..."], SOURCES)
    print(unformatted.stdout + vetted.stdout, end="")
    return 1 if unformatted.stdout else unformatted.returncode or vetted.returncode


if __name__ == "__main__":
    sys.exit(main())
