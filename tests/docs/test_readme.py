"""The README works as written."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf import json_format
from typer.testing import CliRunner

from guerdon.api.offers.v1.offer_service_pb2 import RedeemRequest
from guerdon.cli.application import app
from guerdon.cli.methods import all_methods, path_of
from guerdon.config import Settings
from tests.docs.conftest import Demo
from tests.docs.pages import PAGES, ROOT, blocks

README = ROOT / "README.md"
COMMANDS, CALL, PYTHON, GRPCURL = blocks(README, "sh")
(PROGRAM,) = blocks(README, "python")
SECONDS_MAX = 120
DEFAULT_ADDRESS = f"127.0.0.1:{Settings.model_fields['port'].default}"


def run(script: str, demo: Demo, desk: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """The script as a reader's shell runs it, but against the test's own server."""
    return subprocess.run(
        ["bash", "-euc", script],
        cwd=desk, env=demo.env | more, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS_MAX,
    )  # fmt: skip


def test_the_two_commands_are_tasks_of_dev() -> None:
    usage = subprocess.run([ROOT / "dev", "--help"], capture_output=True, text=True).stdout
    tasks = set(re.findall(r"^  (\w+) ", usage, flags=re.MULTILINE))
    assert re.findall(r"^\./dev (\w+)", COMMANDS, flags=re.MULTILINE) == ["run", "test"]
    scripts = [text for page in PAGES for text in blocks(page, "sh")]
    assert set(re.findall(r"\./dev (\w+)", "\n".join(scripts))) <= tasks
    assert DEFAULT_ADDRESS in COMMANDS
    assert DEFAULT_ADDRESS in PROGRAM


def test_the_first_redeem_is_answered_as_the_text_says(
    demo: Demo, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(CALL, demo, desk)
    assert result.returncode == 0, result.stderr
    redemption = json.loads(result.stdout)["redemption"]
    assert redemption["line"]["paidMinor"] == "45000"
    # The others in this process, which is quicker.
    monkeypatch.setenv("GUERDON_HOME", demo.env["GUERDON_HOME"])
    arguments = shlex.split(CALL)[1:]
    for _ in range(redemption["customerUse"], 5):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    sixth = CliRunner().invoke(app, arguments)
    assert sixth.exit_code != 0
    assert "CUSTOMER_LIMIT_REACHED" in sixth.output


def test_the_python_program_runs_with_a_key_of_its_own(demo: Demo, desk: Path) -> None:
    (desk / "redeem.py").write_text(PROGRAM)
    result = run(PYTHON, demo, desk, GUERDON_ADDRESS=demo.address)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "45000 minor units to pay\n"


def test_the_line_for_grpcurl_names_a_method_and_a_message_of_it(demo: Demo, desk: Path) -> None:
    words = shlex.split(GRPCURL)
    message = words[words.index("-d") + 1]
    json_format.Parse(message, RedeemRequest())
    address, method = words[-2:]
    assert address == DEFAULT_ADDRESS
    assert f"/{method}" in {path_of(known) for known in all_methods()}
    if shutil.which("grpcurl"):
        other = "0190c8f2-0000-7000-8000-000100000002"
        script = GRPCURL.replace(DEFAULT_ADDRESS, demo.address)
        script = script.replace("0190c8f2-0000-7000-8000-000100000001", other)
        script = f"export GUERDON_API_KEY=$(./dev keys create)\n{script}"
        result = run(script, demo, desk)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["redemption"]["customerId"] == other
