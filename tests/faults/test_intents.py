"""What clients write down before they send survives them, and is read as what they meant."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc

from loadtests.faults.intents import Intent, Method, Sending, read_records, read_told
from loadtests.faults.settle import open_requests
from loadtests.history import NUMBERS, OK, Answer
from tests.faults.samples import Scribe
from tests.support.ledger import new_id

UNAVAILABLE = NUMBERS[grpc.StatusCode.UNAVAILABLE]
EXHAUSTED = NUMBERS[grpc.StatusCode.RESOURCE_EXHAUSTED]
# Writes one record after the other and says so, until it is killed.
WRITER = """
import sys
from pathlib import Path
from uuid import uuid4
from loadtests.faults.intents import Intent, IntentLog

with IntentLog(Path(sys.argv[1])) as log:
    while True:
        intent = Intent(uuid4(), uuid4(), uuid4(), uuid4())
        log.write(intent)
        print(intent.request_id, flush=True)
"""


def test_what_was_written_before_a_kill_is_there(tmp_path: Path) -> None:
    history = tmp_path / "history"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(history)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout:
        told = [writer.stdout.readline().strip() for _ in range(100)]
        os.kill(writer.pid, signal.SIGKILL)
        told += [line.strip() for line in writer.stdout if line.endswith("\n")]
    writer.wait()
    written = [
        str(record.request_id) for record in read_records(history) if isinstance(record, Intent)
    ]
    assert written[: len(told)] == told


def test_reading_stops_before_a_torn_record(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "history", new_id(), new_id())
    first = scribe.intent()
    whole = scribe.path.stat().st_size
    scribe.intent()
    content = scribe.path.read_bytes()
    for length in range(whole, len(content)):
        scribe.path.write_bytes(content[:length])
        assert list(read_records(scribe.path)) == [first]


def test_a_damaged_record_is_not_believed(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "history", new_id(), new_id())
    first = scribe.intent()
    whole = scribe.path.stat().st_size
    scribe.intent()
    content = bytearray(scribe.path.read_bytes())
    content[-1] ^= 1
    scribe.path.write_bytes(content)
    assert list(read_records(scribe.path)) == [first]
    assert whole < len(content)


def test_a_sending_without_an_answer_stays_open(tmp_path: Path) -> None:
    """The refusal of a later sending does not close it: see docs/adr/0019."""
    scribe = Scribe(tmp_path / "history", new_id(), new_id())
    lost, refused, granted, unsent = (scribe.intent() for _ in range(4))
    scribe.sent(lost, 1.0)
    scribe.heard(scribe.sent(lost, 2.0), Answer(2.0, 3.0, EXHAUSTED))
    scribe.heard(scribe.sent(refused, 2.0), Answer(2.0, 3.0, EXHAUSTED))
    scribe.sent(granted, 1.0)
    scribe.heard(scribe.sent(granted, 2.0), Answer(2.0, 3.0, OK))
    told = read_told([scribe.path])
    assert open_requests(told) == [lost.request_id]
    answers = told.attempts[lost.request_id].answers
    assert [(answer.sent_at, answer.code) for answer in answers] == [
        (1.0, UNAVAILABLE),
        (2.0, EXHAUSTED),
    ]
    assert told.attempts[unsent.request_id].answers == []


def test_a_revoke_without_an_answer_stays_open(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "history", new_id(), new_id())
    intent = scribe.intent()
    scribe.heard(scribe.sent(intent, 1.0), Answer(1.0, 2.0, OK))
    scribe.sent(intent, 3.0, Method.REVOKE)
    assert open_requests(read_told([scribe.path])) == [intent.request_id]


def test_an_intent_may_be_written_again_by_the_settling(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "client", new_id(), new_id())
    intent = scribe.intent()
    scribe.sent(intent, 1.0)
    settling = Scribe(tmp_path / "settling", scribe.tenant_id, scribe.offer_id)
    settling.log.write(intent)
    settling.heard(settling.sent(intent, 5.0), Answer(5.0, 6.0, OK))
    told = read_told([scribe.path, settling.path])
    assert [answer.sent_at for answer in told.attempts[intent.request_id].answers] == [1.0, 5.0]
    assert isinstance(next(read_records(scribe.path)), Intent)
    assert isinstance(list(read_records(scribe.path))[1], Sending)
