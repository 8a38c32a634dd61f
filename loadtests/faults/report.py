"""What a run of the fault lab found: the contract between the lab, which fills it, and its page.

All times are seconds since the run began, and all counts are of the whole run unless said
otherwise. `msgspec.json` writes and reads a RunReport, so that a page can be made again later.
"""

import msgspec

# The lanes of the timeline, from top to bottom; others come below, in the order they are met.
LANES = ("server", "postgres", "redis", "links", "clients")


class FaultMark(msgspec.Struct, frozen=True):
    """One fault: an instant when `ended_at` is None (a kill, a FLUSHALL), else as long as it held.

    `lane` is what it was done to, of LANES or another; `name` is the fault's name in the schedule,
    and `detail` says more, such as which process or how many milliseconds.
    """

    lane: str
    name: str
    began_at: float
    ended_at: float | None = None
    detail: str = ""


class Second(msgspec.Struct, frozen=True):
    """The answers that clients got from `at` until one second later, by what they were.

    `ok` counts first grants and replays alike. `refusals` counts definite refusals by reason
    (TOTAL_LIMIT_REACHED, ...), `ambiguous` the answers that left the outcome open, by status code
    (UNAVAILABLE, ...). Seconds without any answer may be left out: they are drawn as zero.
    """

    at: int
    ok: int = 0
    refusals: dict[str, int] = {}
    ambiguous: dict[str, int] = {}


class Phase(msgspec.Struct, frozen=True):
    """A stretch of the run with a name of its own, such as "faults", "quiet" or "retries"."""

    name: str
    began_at: float
    ended_at: float


class Timeline(msgspec.Struct, frozen=True):
    """What happened when."""

    seconds: tuple[Second, ...] = ()
    faults: tuple[FaultMark, ...] = ()
    phases: tuple[Phase, ...] = ()


class Invariant(msgspec.Struct, frozen=True):
    """One of I1-I20 after the run.

    `name` is "I1" to "I20" or a range such as "I1-I4"; `sentence` is what must hold; `evidence`
    says what was compared; `checked` counts what was looked at (rows, answers, offers: `unit`);
    `violations` counts all of them and `examples` shows the first few. An invariant whose subject
    the product does not have yet says so in `skipped`, and passes nor fails.
    """

    name: str
    sentence: str
    checked: int = 0
    violations: int = 0
    unit: str = ""
    evidence: str = ""
    examples: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def held(self) -> bool:
        """Whether it was looked at and nothing was found."""
        return not self.skipped and self.checked > 0 and self.violations == 0


class Minimum(msgspec.Struct, frozen=True):
    """A count without which the run proves nothing, such as 1,000 OK answers."""

    name: str
    counted: int
    wanted: int

    @property
    def reached(self) -> bool:
        """Whether the run met enough of it."""
        return self.counted >= self.wanted


class Ambiguity(msgspec.Struct, frozen=True):
    """Requests whose outcome was open at some time, and what the retries after quiet told.

    `attempts` counts requests, not answers; a retry found the request `committed` (the answer was a
    replay), did it then (`granted_later`), or was `refused`; `unresolved` should be 0.
    """

    attempts: int = 0
    committed: int = 0
    granted_later: int = 0
    refused: int = 0
    unresolved: int = 0


class RunReport(msgspec.Struct, frozen=True):
    """A whole run.

    `began` is a wall-clock time as text (ISO 8601). `replay_command` checks the kept history again,
    `repeat_command` runs the same schedule anew from its seed. `counts` is for information, in the
    order given (attempts, calls, faults by name, ...); `machine` likewise (cores, versions, ...).
    `bug` names the seeded bug that was switched on: such a run is meant to fail.
    """

    tier: str
    seed: int
    began: str
    seconds: float
    timeline: Timeline
    invariants: tuple[Invariant, ...]
    minimums: tuple[Minimum, ...]
    ambiguity: Ambiguity = Ambiguity()
    counts: dict[str, int] = {}
    machine: dict[str, str] = {}
    replay_command: str = ""
    repeat_command: str = ""
    bug: str = ""

    @property
    def violations(self) -> int:
        """Over all invariants."""
        return sum(invariant.violations for invariant in self.invariants)

    @property
    def is_vacuous(self) -> bool:
        """Whether it met too little of something to prove anything."""
        return not all(minimum.reached for minimum in self.minimums)

    @property
    def passed(self) -> bool:
        """Whether nothing was found, enough was met and every outcome is known."""
        return self.violations == 0 and not self.is_vacuous and self.ambiguity.unresolved == 0
