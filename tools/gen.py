"""`./dev gen`: everything that is generated and committed; `--check` compares instead."""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATORS = ("tools.gen_protos", "tools.gen_schema")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev gen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a file is out of date")
    options = ["--check"] if parser.parse_args().check else []
    codes = [
        subprocess.call([sys.executable, "-m", generator, *options], cwd=ROOT)
        for generator in GENERATORS
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
