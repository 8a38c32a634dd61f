"""`./dev lock`: pins requirements/*.in, with hashes, for every platform and Python version.

The files name no package index, so that a machine behind a mirror installs from them as well.
"""

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
OLDEST_PYTHON = "3.11"
NAMES = ("runtime", "dev", "build")


def main() -> int:
    extra = sys.argv[1:]
    # The order matters: each is constrained by what the one before has just pinned.
    return next(filter(None, (compile_pins(name, extra) for name in NAMES)), 0)


def compile_pins(name: str, extra: list[str]) -> int:
    """Keeps present pins where they still fit; `./dev lock --upgrade` takes the newest."""
    print(f"requirements/{name}.in -> requirements/{name}.txt", flush=True)
    command = ["uv", "pip", "compile", "--universal", "--python-version", OLDEST_PYTHON]
    options = ["--generate-hashes", "--no-emit-index-url", "--no-header", "--quiet", *extra]
    files = [f"requirements/{name}.in", "--output-file", f"requirements/{name}.txt"]
    return subprocess.call([*command, *options, *files], cwd=REQUIREMENTS.parent)


if __name__ == "__main__":
    sys.exit(main())
