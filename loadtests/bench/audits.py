"""The exactness audit of every database of a run, over all that was ever sent to it.

A fill's redemptions were asked for by nobody, so on the full database the clients' checks look at
what came after it; the database's own checks look at everything.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from loadtests.audit import Report, audit
from loadtests.bench.fleet import Fleet
from loadtests.bench.orders import Target
from loadtests.bench.results import Audit, DatabaseAudit
from loadtests.bench.settling import settle
from loadtests.bench.stage import SCARCE_TOTAL_LIMIT, Site, Stage
from loadtests.history import Attempt, Goal, History


class SiteAudit(msgspec.Struct, frozen=True):
    """A site's name with its report."""

    name: str
    report: Report


class Audited(msgspec.Struct, frozen=True):
    """By site; and of the items that each target's clients sent, the share that was granted at
    once. `asked_again` had no definite answer under load, and got one afterwards."""

    sites: list[SiteAudit]
    granted_shares: dict[str, float]
    asked_again: int

    @property
    def passed(self) -> bool:
        """Whether nothing was found anywhere."""
        return all(site.report.passed for site in self.sites)


async def audit_all(fleet: Fleet, targets: Mapping[str, Target], stage: Stage) -> Audited:
    """One site after the other, so that only one history is in memory."""
    sites, shares, asked_again = [], {}, 0
    for site in stage.sites:
        attempts: list[Attempt] = []
        kept = list(kept_targets(targets, site))
        for target in kept:
            of_target = list(fleet.attempts(target.name))
            shares[target.name] = granted_share(of_target)
            asked_again += await settle(target, of_target)
            attempts += of_target
        history = History(site.tenant_id, goals_of(kept, stage), attempts)
        report = await audit(site.access.database_url, history, site.inherited)
        sites.append(SiteAudit(site.name, report))
    return Audited(sites, shares, asked_again)


def kept_targets(targets: Mapping[str, Target], site: Site) -> Iterator[Target]:
    """Those at the site's server whose calls redeem."""
    for target in targets.values():
        if target.address == site.access.address and "request_id" in target.template.fields:
            yield target


def granted_share(attempts: list[Attempt]) -> float:
    """1 when nothing was sent."""
    granted = sum(1 for attempt in attempts if attempt.answers[0].is_grant)
    return granted / len(attempts) if attempts else 1.0


def goals_of(targets: Iterable[Target], stage: Stage) -> list[Goal]:
    """Every offer that was asked for; of the scarce one every use must be taken."""
    offers = {offer for target in targets for offer in target.offers}
    totals = {stage.scarce: SCARCE_TOTAL_LIMIT}
    return [Goal(offer, "of the benchmark", totals.get(offer)) for offer in offers]


def audit_results(audited: Audited) -> Audit:
    """As the document tells it."""
    databases = [
        DatabaseAudit(
            name=site.name,
            passed=site.report.passed,
            redemptions=site.report.rows,
            checks=len(site.report.findings),
            violations={f.check: f.count for f in site.report.findings if f.count},
        )
        for site in audited.sites
    ]
    redemptions = sum(database.redemptions for database in databases)
    return Audit(audited.passed, redemptions, databases, audited.asked_again)
