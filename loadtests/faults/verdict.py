"""What a run proves: every invariant of the fault lab from the history, the database and what was
seen, as a RunReport. The checks themselves are those of every load test: loadtests/audit.py."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from loadtests.audit import Finding, Report, audit
from loadtests.faults.intents import Stray, Told, without_collecting
from loadtests.faults.record import RunRecord
from loadtests.faults.report import FaultMark, Invariant, Minimum, RunReport, Second, Timeline
from loadtests.faults.settle import tell_ambiguity
from loadtests.history import CODES, Answer, Attempt, History, reason_in

# What a run must have met to prove anything.
OK_MIN, REFUSALS_MIN, AMBIGUOUS_MIN = 1_000, 100, 50
# Megabytes that a worker may grow in a run beyond its size after its first seconds.
GROWTH_MEGABYTES_MAX = 150.0
# Looks at a worker's memory before which it still loads what it needs.
LOOKS_BEFORE_STEADY = 3
EXAMPLES_MAX = 5
# Answers that nobody may hear of another tenant's things, but for those.
FOREIGN_REASONS = ("REDEMPTION_NOT_FOUND", "OFFER_NOT_FOUND")
DEFECTS = ("INTERNAL", "UNKNOWN")


class Claim(msgspec.Struct, frozen=True):
    """An invariant, and the audit's checks that prove it."""

    name: str
    sentence: str
    checks: tuple[str, ...]
    unit: str
    evidence: str


CLAIMS = (
    Claim(
        "I1-I4",
        "At every prefix of an offer's numbers its uses are within the limits in force there.",
        ("limits", "orders"),
        "redemptions",
        "total, customer, product and order, by the version of each number; no periods or budgets"
        " exist yet",
    ),
    Claim(
        "I5",
        "Counters equal the rows, and no number is missing.",
        ("counters", "target_counters", "customer_usage", "customer_uses", "sequences"),
        "redemptions",
        "counter rows against redemptions, revokes and edits",
    ),
    Claim(
        "I6",
        "Every OK exists, equal in every field; one redemption and one answer an id.",
        ("grants_have_rows", "answers_of_one_id_are_equal", "replays_say_so"),
        "answers",
        "OK answers against rows and against each other",
    ),
    Claim(
        "I7",
        "No request is refused that was sent after it had committed.",
        ("no_refusal_after_a_grant",),
        "answers",
        "sending times against its OK, and the OK of anything with a higher number",
    ),
    Claim(
        "I8",
        "Nothing exists that nobody asked for.",
        ("rows_were_asked_for", "tombstones_were_asked_for", "request_ids_are_distinct"),
        "redemptions",
        "rows and tombstones against what was written down before it was sent",
    ),
    Claim(
        "I9",
        "Every open outcome became definite, and equals the database.",
        ("rows_were_told",),
        "requests",
        "the answers after quiet against the rows",
    ),
    Claim(
        "I10",
        "What was answered before something else was sent has the lower number.",
        ("order_is_real_time",),
        "redemptions",
        "redemptions, revokes and edits of each offer",
    ),
    Claim(
        "I11",
        "A limit was said to be reached only when it may have been during the call.",
        ("refusals_were_true",),
        "answers",
        "refusals against every state of the offer between sending and answer",
    ),
    Claim(
        "I12",
        "Each use is inside window and state of the version in force at its number.",
        ("references", "versions", "order_is_real_time"),
        "redemptions",
        "offer versions, and the moments of acknowledged edits",
    ),
    Claim(
        "I13",
        "A revoke gives a use back exactly once, or leaves a tombstone.",
        ("revokes", "revokes_hold"),
        "redemptions",
        "revoke effects, rows and the answers to Revoke",
    ),
    Claim(
        "I14",
        "Every effect has one entry in its slot's sequence.",
        ("sequences",),
        "redemptions",
        "a redemption's row is its entry; nothing is delivered yet",
    ),
    Claim(
        "I15",
        "Tenants' rows are their own, and no caller sees another's.",
        ("tenants", "row_security"),
        "answers",
        "rows, policies, and calls for another tenant's things",
    ),
    Claim(
        "I18",
        "Money is whole and adds up, and follows from the offer's version.",
        ("lines", "prices_follow_from_their_version"),
        "redemptions",
        "lines and rows, and each discount computed anew",
    ),
    Claim(
        "I20",
        "Where demand was there, the limit is reached exactly.",
        ("goals_are_hit_exactly", "nothing_is_left"),
        "offers",
        "live uses against the last limits",
    ),
)


def judge(record: RunRecord, told: Told, database_url: str) -> RunReport:
    """Reads the whole database; writes nothing."""
    with without_collecting():
        return _judge(record, told, database_url)


def _judge(record: RunRecord, told: Told, database_url: str) -> RunReport:
    attempts = {tenant: sent_attempts(told, tenant) for tenant in record.tenants}
    reports = asyncio.run(audit_tenants(record, attempts, database_url))
    findings: dict[str, list[Finding]] = {}
    for report in reports:
        for finding in report.findings:
            findings.setdefault(finding.check, []).append(finding)
    everybody = [attempt for one in attempts.values() for attempt in one]
    sizes = {
        "redemptions": sum(report.rows for report in reports),
        "requests": len(everybody),
        "answers": sum(len(one.answers) + len(one.others) for one in everybody),
        "offers": len(record.goals),
    }
    invariants = [prove(claim, findings, sizes) for claim in CLAIMS]
    invariants = [with_strays(one, told.strays) if one.name == "I15" else one for one in invariants]
    invariants += [not_yet("I16", "Every admin change has an audit row of its transaction.")]
    invariants += [redis_equals_postgres(record)]
    invariants += [nothing_leaks(record, told, findings["errors_are_explained"], sizes["answers"])]
    invariants.sort(key=lambda one: int(one.name.split("-")[0][1:]))
    return report_of(record, told, everybody, invariants)


async def audit_tenants(
    record: RunRecord, attempts: dict[UUID, list[Attempt]], database_url: str
) -> list[Report]:
    return [
        await audit(database_url, history_of(record, tenant, attempts[tenant]))
        for tenant in record.tenants
    ]


def sent_attempts(told: Told, tenant_id: UUID) -> list[Attempt]:
    """Of one tenant; what was never sent cannot have done anything."""
    return [
        attempt
        for request_id, attempt in told.attempts.items()
        if told.tenants[request_id] == tenant_id
        and (attempt.answers or attempt.others or attempt.revokes)
    ]


def history_of(record: RunRecord, tenant_id: UUID, attempts: list[Attempt]) -> History:
    offers = {ware.offer_id for ware in record.wares if ware.tenant_id == tenant_id}
    return History(
        tenant_id,
        [goal for goal in record.goals if goal.offer_id in offers],
        attempts,
        [edit for edit in record.edits if edit.offer_id in offers],
        is_whole=True,
    )


def prove(claim: Claim, findings: dict[str, list[Finding]], sizes: dict[str, int]) -> Invariant:
    found = [finding for check in claim.checks for finding in findings[check]]
    return invariant_of(
        claim.name,
        claim.sentence,
        sizes[claim.unit],
        claim.unit,
        claim.evidence,
        [f"{one.check}: {example}" for one in found for example in one.examples],
        sum(one.count for one in found),
    )


def invariant_of(
    name: str,
    sentence: str,
    checked: int,
    unit: str,
    evidence: str,
    violations: Sequence[str],
    count: int | None = None,
) -> Invariant:
    return Invariant(
        name=name,
        sentence=sentence,
        checked=checked,
        violations=len(violations) if count is None else count,
        unit=unit,
        evidence=evidence,
        examples=tuple(violations[:EXAMPLES_MAX]),
    )


def not_yet(name: str, sentence: str) -> Invariant:
    return Invariant(name=name, sentence=sentence, skipped="not yet: the product has no such thing")


def with_strays(invariant: Invariant, strays: Sequence[Stray]) -> Invariant:
    """The audit's part, and what calls for another tenant's things were answered."""
    foreign = [stray for stray in strays if stray.is_foreign]
    seen = [
        f"{stray.call} for another tenant's thing: {CODES[stray.code].name} {reason}"
        for stray in foreign
        if answer_of(stray).is_definite and (reason := reason_of(stray)) not in FOREIGN_REASONS
    ]
    return msgspec.structs.replace(
        invariant,
        checked=len(foreign),
        violations=invariant.violations + len(seen),
        examples=(*invariant.examples, *seen)[:EXAMPLES_MAX],
    )


def answer_of(stray: Stray) -> Answer:
    return Answer(stray.sent_at, stray.answered_at, stray.code, stray.body)


def reason_of(stray: Stray) -> str:
    return answer_of(stray).reason


def redis_equals_postgres(record: RunRecord) -> Invariant:
    pairs = record.observed.counters
    wrong = [
        f"offer {pair.offer_id}: Redis {pair.redis}, Postgres {pair.postgres}"
        for pair in pairs
        if pair.redis != pair.postgres
    ]
    return invariant_of(
        "I17",
        "Within 30 s of quiet Redis says what Postgres says.",
        len(pairs),
        "offers",
        "counters and limits of every offer, after another use of those that differ; no tickets",
        wrong,
    )


def nothing_leaks(
    record: RunRecord, told: Told, unexplained: Iterable[Finding], answers: int
) -> Invariant:
    found = [f"left over: {one}" for one in record.observed.leftovers]
    found += [f"log: {line}" for line in record.observed.log_errors]
    found += list(grown_workers(record))
    found += [
        f"{stray.call}: {CODES[stray.code].name} {reason_of(stray)}"
        for stray in told.strays
        if CODES[stray.code].name in DEFECTS and (stray.body or CODES[stray.code].name == "UNKNOWN")
    ]
    examples = [example for finding in unexplained for example in finding.examples]
    count = sum(finding.count for finding in unexplained)
    return invariant_of(
        "I19",
        "Nothing is left open, memory is bounded, and every error is explained once.",
        answers,
        "answers",
        "sessions, locks, workers' memory, servers' logs, and the ErrorInfo of every error",
        [*examples, *found],
        count + len(found),
    )


def grown_workers(record: RunRecord) -> Iterable[str]:
    for pid, sizes in record.observed.worker_megabytes.items():
        steady = sizes[LOOKS_BEFORE_STEADY:]
        if steady and max(steady) - steady[0] > GROWTH_MEGABYTES_MAX:
            yield f"worker {pid}: {steady[0]:.0f} MB grew to {max(steady):.0f} MB"


def report_of(
    record: RunRecord, told: Told, attempts: Sequence[Attempt], invariants: Sequence[Invariant]
) -> RunReport:
    met = Counter(kind_of(answer) for one in attempts for answer in (*one.answers, *one.others))
    return RunReport(
        tier=record.tier,
        seed=record.schedule.seed,
        began=record.began,
        seconds=record.ended_at - record.began_at,
        timeline=Timeline(
            seconds_of(record, attempts), tuple(sorted_marks(record)), tuple(record.phases)
        ),
        invariants=tuple(invariants),
        minimums=minimums(record, met),
        ambiguity=tell_ambiguity(told, record.quiet_at),
        counts={
            "requests": len(attempts),
            "answers": met.total(),
            "OK": met["ok"],
            "refusals": met["refused"],
            "ambiguous": met["ambiguous"],
            "revokes": sum(len(one.revokes) for one in attempts),
            "edits": len(record.edits),
        },
        bug=record.bug,
    )


def sorted_marks(record: RunRecord) -> list[FaultMark]:
    return sorted(record.marks, key=lambda mark: mark.began_at)


def kind_of(answer: Answer) -> str:
    if answer.is_grant:
        return "ok"
    return "refused" if answer.is_definite else "ambiguous"


def minimums(record: RunRecord, met: "Counter[str]") -> tuple[Minimum, ...]:
    """Enough of everything, and every fault of the schedule done as often as it says."""
    done = Counter(mark.name for mark in record.marks)
    wanted = record.schedule.counts()
    return (
        Minimum("OK answers", met["ok"], OK_MIN),
        Minimum("refusals", met["refused"], REFUSALS_MIN),
        Minimum("ambiguous outcomes", met["ambiguous"], AMBIGUOUS_MIN),
        *(Minimum(f"fault {name}", done[name], count) for name, count in wanted.items()),
    )


def seconds_of(record: RunRecord, attempts: Sequence[Attempt]) -> tuple[Second, ...]:
    """Answers by the second in which they came."""
    seconds: dict[int, tuple[Counter[str], Counter[str]]] = {}
    oks: Counter[int] = Counter()
    for attempt in attempts:
        for answer in (*attempt.answers, *attempt.others):
            if answer.answered_at == float("inf"):
                continue
            at = int(answer.answered_at - record.began_at)
            refusals, ambiguous = seconds.setdefault(at, (Counter(), Counter()))
            if answer.is_grant:
                oks[at] += 1
            elif answer.is_definite:
                refusals[reason_in(answer.body) or CODES[answer.code].name] += 1
            else:
                ambiguous[CODES[answer.code].name] += 1
    return tuple(
        Second(at, oks[at], dict(refusals), dict(ambiguous))
        for at, (refusals, ambiguous) in sorted(seconds.items())
    )
