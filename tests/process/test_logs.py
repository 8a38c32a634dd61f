"""Logs: one form for all loggers, and no personal data in any of them."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from guerdon.config import LogFormat
from guerdon.serving.logs import configure_logs

CUSTOMER = "5f0c2a52-0000-7000-8000-00000000c001"


@pytest.fixture(autouse=True)
def _the_same_loggers_afterwards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_both_kinds_of_loggers_write_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.JSON, "info", worker=3)
    structlog.get_logger().info("own", request_id="r-1")
    logging.getLogger("library").warning("theirs %s", "too")
    own, theirs = lines(capsys)
    assert (own["event"], own["request_id"], own["worker"]) == ("own", "r-1", 3)
    assert (theirs["event"], theirs["level"]) == ("theirs too", "warning")


def test_personal_data_is_withheld_even_when_it_is_passed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(LogFormat.JSON, "info")
    structlog.get_logger().info("oops", customer_id=CUSTOMER, order_ref="A-1", api_key="gdn_x")
    (line,) = lines(capsys)
    assert CUSTOMER not in json.dumps(line)
    assert {line["customer_id"], line["order_ref"], line["api_key"]} == {"[withheld]"}


def test_what_postgres_quotes_of_a_row_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.JSON, "info")
    try:
        raise ValueError(f"duplicate key\nDETAIL:  Key (customer_id)=({CUSTOMER}) exists.")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed too")
    found = lines(capsys)
    assert len(found) == 2
    for line in found:
        assert "duplicate key" in line["exception"]
        assert CUSTOMER not in json.dumps(line)


def test_a_call_that_ended_before_its_answer_is_no_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(LogFormat.JSON, "info")
    core = logging.getLogger("grpc._cython.cygrpc")
    core.error("ExecuteBatchError raised in core by servicer method [/a.B/C]")
    core.error("Unexpected [KeyError] raised by servicer method [/a.B/C]")
    (line,) = lines(capsys)
    assert line["event"].startswith("Unexpected")
