"""A sound run passes, and each invariant of the lab fails by what is seeded against it."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import grpc
import msgspec
import pytest

from guerdon.adapters.postgres.connection import Database
from loadtests.faults.intents import Intent, Method, Sending, Stray, read_told
from loadtests.faults.keep import dump, keep, read_dump, restored
from loadtests.faults.record import CounterPair, RunRecord, history_files, load_record
from loadtests.faults.report import RunReport
from loadtests.faults.verdict import judge
from loadtests.history import NUMBERS, OK, Answer
from tests.faults.generated import Generated, generate_run
from tests.loadtests.scene import EXHAUSTED, TOTAL, status_of
from tests.support.ledger import new_id
from tests.support.proofs import FULL

UNKNOWN = NUMBERS[grpc.StatusCode.UNKNOWN]
INTERNAL = NUMBERS[grpc.StatusCode.INTERNAL]
ATTEMPTS = 3_000
OFFERS = 3
# The full size: a million attempts take half a minute of the judge, as much of Postgres beside it.
MANY_ATTEMPTS, MANY_SECONDS = (1_000_000, 45.0) if FULL else (20_000, 10.0)


@pytest.fixture
async def run(owner: asyncpg.Connection, database: Database, tmp_path: Path) -> Generated:
    folder = tmp_path / "run"
    folder.mkdir()
    return await generate_run(owner, database, folder, ATTEMPTS, OFFERS)


async def judged(run: Generated, database_url: str) -> RunReport:
    told = read_told(history_files(run.folder))
    return await asyncio.to_thread(judge, run.record, told, database_url)


def failed(report: RunReport) -> set[str]:
    return {one.name for one in report.invariants if one.violations}


async def test_a_sound_run_holds_every_invariant(run: Generated, database_url: str) -> None:
    report = await judged(run, database_url)
    assert failed(report) == set(), report.invariants
    unseen = {one.name for one in report.invariants if not one.held}
    assert unseen == {"I16"}
    assert [one.name for one in report.invariants] == [
        "I1-I4", *(f"I{number}" for number in range(5, 21))
    ]  # fmt: skip


DATABASE_DAMAGES = [
    (
        "update guerdon.offer_versions set content ="
        " jsonb_set(content, '{offer,total_limit}', '5')",
        {"I1-I4"},
    ),
    ("update guerdon.offer_counters set used = used + 1", {"I5"}),
    ("update guerdon.redemptions set sequence = 9999 where sequence = 7", {"I5", "I14"}),
    ("delete from guerdon.redemptions where sequence = 7", {"I6"}),
    (
        "update guerdon.redemptions set request_id = gen_random_uuid() where sequence = 7",
        {"I6", "I8"},
    ),
    (
        "update guerdon.redemptions set sequence = -sequence where sequence in (7, 300);"
        " update guerdon.redemptions set sequence = 307 + sequence where sequence < 0",
        {"I10", "I12"},
    ),
    ("update guerdon.redemptions set offer_version = 2 where sequence = 7", {"I12"}),
    ("update guerdon.redemptions set revoked_at = now() where sequence = 7", {"I13"}),
    ("update guerdon.offer_customer_usage set tenant_id = gen_random_uuid()", {"I15"}),
    ("alter table guerdon.redemptions disable row level security", {"I15"}),
    (
        "update guerdon.redemptions set discount_minor = 101, paid_minor = 899;"
        " update guerdon.redemption_lines set discount_minor = 101, paid_minor = 899;"
        " update guerdon.offer_counters set spent_minor = used * 101",
        {"I6", "I18"},
    ),
    ("update guerdon.offers set total_limit = total_limit + 1", {"I20"}),
]


async def test_each_damage_of_the_database_fails_its_invariant(
    run: Generated, database_url: str, owner: asyncpg.Connection, subtests: pytest.Subtests
) -> None:
    folder = run.folder / "kept"
    folder.mkdir()
    await asyncio.to_thread(dump, database_url, folder)
    for damage, expected in DATABASE_DAMAGES:
        with subtests.test(damage):
            await owner.execute("drop schema guerdon cascade")
            await asyncio.to_thread(read_dump, database_url, folder)
            await owner.execute(damage)
            assert expected <= failed(await judged(run, database_url))


def send(run: Generated, intent: Intent, answer: Answer, method: Method = Method.REDEEM) -> None:
    number = run.scribe.log.next_number() + 1_000_000
    run.scribe.log.write(Sending(number, intent.request_id, method, answer.sent_at))
    run.scribe.heard(number, answer)


def refuse_what_is_committed(run: Generated) -> None:
    late = run.record.quiet_at
    said = Answer(late, late + 1, EXHAUSTED, status_of(TOTAL))
    send(run, run.granted[-1], said)


def leave_a_request_open(run: Generated) -> None:
    intent = run.scribe.intent()
    run.scribe.sent(intent, run.record.quiet_at)


def refuse_before_anybody_asked(run: Generated) -> None:
    early = run.record.began_at - 10
    send(run, run.scribe.intent(), Answer(early, early + 1, EXHAUSTED, status_of(TOTAL)))


def lose_a_revoke(run: Generated) -> None:
    late = run.record.quiet_at
    send(run, run.granted[-1], Answer(late, late + 1, OK), Method.REVOKE)


def answer_a_stranger(run: Generated) -> None:
    run.scribe.log.write(Stray(new_id(), "GetRedemption", True, 0.0, 1.0, OK, b""))


def disagree_with_redis(run: Generated) -> None:
    one = run.record.observed.counters[0]
    run.record.observed.counters[0] = CounterPair(one.offer_id, {"used": "1"}, one.postgres)


def leave_a_transaction_open(run: Generated) -> None:
    run.record.observed.leftovers.append("idle in transaction, for 31 s: select 1")


def log_a_defect(run: Generated) -> None:
    run.record.observed.log_errors.append('{"level": "error", "event": "call_failed"}')


def grow_without_bound(run: Generated) -> None:
    run.record.observed.worker_megabytes["1"] = [80.0 + 40.0 * look for look in range(10)]


def answer_unknown(run: Generated) -> None:
    run.scribe.log.write(Stray(new_id(), "Quote", False, 0.0, 1.0, UNKNOWN, b""))


def answer_internal(run: Generated) -> None:
    late = run.record.quiet_at
    send(run, run.granted[-1], Answer(late, late + 1, INTERNAL, status_of("INTERNAL")))


SIGHTS: list[tuple[Callable[[Generated], None], str]] = [
    (refuse_what_is_committed, "I7"),
    (leave_a_request_open, "I9"),
    (refuse_before_anybody_asked, "I11"),
    (lose_a_revoke, "I13"),
    (answer_a_stranger, "I15"),
    (disagree_with_redis, "I17"),
    (leave_a_transaction_open, "I19"),
    (log_a_defect, "I19"),
    (grow_without_bound, "I19"),
    (answer_unknown, "I19"),
    (answer_internal, "I19"),
]


async def test_each_sight_of_a_defect_fails_its_invariant(
    run: Generated, database_url: str, subtests: pytest.Subtests
) -> None:
    history = run.scribe.path.read_bytes()
    record = msgspec.json.encode(run.record)
    for sight, expected in SIGHTS:
        with subtests.test(sight.__name__):
            sight(run)
            assert expected in failed(await judged(run, database_url))
        run.scribe.path.write_bytes(history)
        run.record = msgspec.json.decode(record, type=RunRecord)


async def test_a_run_that_met_too_little_proves_nothing(run: Generated, database_url: str) -> None:
    report = await judged(run, database_url)
    reached = {minimum.name: minimum.reached for minimum in report.minimums}
    assert reached == {"OK answers": True, "refusals": True, "ambiguous outcomes": False}
    assert report.is_vacuous
    assert not report.passed


async def test_a_kept_run_is_judged_again_without_its_servers(
    run: Generated, database_url: str, tmp_path: Path
) -> None:
    run.record.save(run.folder)
    await asyncio.to_thread(dump, database_url, run.folder)
    kept = keep(run.folder, tmp_path / "kept" / "run")
    before = await judged(run, database_url)
    with pytest.raises(FileExistsError):
        keep(run.folder, kept)

    def again() -> RunReport:
        with restored(kept) as url:
            return judge(load_record(kept), read_told(history_files(kept)), url)

    assert await asyncio.to_thread(again) == before


async def test_many_attempts_are_judged_in_time(
    owner: asyncpg.Connection, database: Database, database_url: str, tmp_path: Path
) -> None:
    run = await generate_run(owner, database, tmp_path, MANY_ATTEMPTS, 10)
    await owner.execute("analyze")
    # Not by the clock: what else the machine does is no matter of the judgement.
    began_at = time.process_time()
    report = await judged(run, database_url)
    seconds = time.process_time() - began_at
    assert failed(report) == set()
    assert seconds < MANY_SECONDS, f"{MANY_ATTEMPTS:,} attempts took {seconds:.0f} s"
