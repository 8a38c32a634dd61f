"""Makes src/guerdon/api from the protos: messages, gRPC stubs and their types.

protoc comes from grpcio-tools, because its plugin for gRPC stubs is not a program of its own that
buf could call; buf lints and compares.

    python -m tools.gen_protos            write the code
    python -m tools.gen_protos --check    fail when it differs from what is there
"""

import argparse
import filecmp
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
THIRD_PARTY = ROOT / "third_party"
API = ROOT / "src" / "guerdon" / "api"
# The validation options, which no Python package installs as generated code. google/rpc, the other
# part of third_party, comes with googleapis-common-protos.
VALIDATE = "buf/validate/validate.proto"
# A top-level package `buf` of ours could collide with somebody else's in the same environment.
FOREIGN_IMPORT = re.compile(r"^(from|import) (buf\.validate)\b", re.MULTILINE)
HEADER = '"""Generated from the protos by `./dev gen`; the path is the proto package."""\n'


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.gen_protos", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if parser.parse_args().check:
        return report(differences())
    generate(API)
    return 0


def report(changed: list[str]) -> int:
    for path in changed:
        print(f"differs from its proto: src/guerdon/api/{path}")
    return 1 if changed else 0


def differences() -> list[str]:
    """Paths below src/guerdon/api that differ from what the protos give now."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "api"
        generate(fresh)
        paths = {path.relative_to(base) for base in (fresh, API) for path in code_in(base)}
        return sorted(str(path) for path in paths if not same(fresh / path, API / path))


def code_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.py*") if path.suffix in {".py", ".pyi"}]


def same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and filecmp.cmp(one, other, shallow=False)


def generate(target: Path) -> None:
    """Replace `target` by fresh code."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        run_protoc(output)
        adopt_foreign(output)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(output / "guerdon" / "api", target)
    for package in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (package / "__init__.py").write_text(HEADER)


def run_protoc(output: Path) -> None:
    ours = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    services = [name for name in ours if "\nservice " in (PROTO / name).read_text()]
    protoc(output, [*ours, VALIDATE], "python")
    protoc(output, ours, "mypy")
    protoc(output, services, "grpc_python", "mypy_grpc")


def protoc(output: Path, files: list[str], *plugins: str) -> None:
    beside_python = Path(sys.executable).parent
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{THIRD_PARTY}"),
        f"--plugin=protoc-gen-mypy={beside_python / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={beside_python / 'protoc-gen-mypy_grpc'}",
        *(f"--{plugin}_out={output}" for plugin in plugins),
        *files,
    ]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    if result.returncode != 0:
        sys.exit(result.stderr)


def adopt_foreign(output: Path) -> None:
    """Move the foreign package below ours, and every import of it along."""
    shutil.move(output / "buf", output / "guerdon" / "api" / "buf")
    for path in code_in(output):
        text = FOREIGN_IMPORT.sub(r"\1 guerdon.api.\2", path.read_text())
        path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
