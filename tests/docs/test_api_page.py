"""Every example of docs/api.md works, in order, on a fresh demo tenant; every RPC has one."""

import re
import shlex

import pytest
from typer.testing import CliRunner

from guerdon.cli.application import app
from guerdon.cli.methods import all_methods
from tests.docs.conftest import Demo
from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "api.md"
EXAMPLES = [
    command
    for block in blocks(PAGE, "sh")
    for command in re.split(r"^(?=guerdon )", block, flags=re.MULTILINE)
    if command.strip()
]
EXIT_TOLD = re.compile(r"# exits with (\d+)")


def test_every_method_has_an_example() -> None:
    called = {shlex.split(example)[2] for example in EXAMPLES}
    assert called == {method.name for method in all_methods()}


def test_every_example_is_answered(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUERDON_HOME", demo.env["GUERDON_HOME"])
    monkeypatch.delenv("GUERDON_ADDRESS", raising=False)
    monkeypatch.delenv("GUERDON_API_KEY", raising=False)
    runner = CliRunner()
    wrong = []
    for example in EXAMPLES:
        told = EXIT_TOLD.search(example)
        arguments = shlex.split(example, comments=True)[1:]
        result = runner.invoke(app, arguments)
        if arguments[1] == "Redeem":
            # "Run it twice: the second answer is the same."
            assert runner.invoke(app, arguments).output == result.output
        if result.exit_code != (int(told[1]) if told else 0):
            wrong.append(f"{arguments[1]}: {result.output}")
    assert wrong == []
