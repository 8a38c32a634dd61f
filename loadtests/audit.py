"""The exactness audit: the database against itself, and against what the clients were told.

The database's checks are the queries of checks/*.sql; the clients' are in client_checks.py. Both
sort and never compare pairs, so a million redemptions take seconds. Nothing is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import asyncpg
import msgspec
from rich.console import Console

from guerdon.domain.offers import OfferDraft
from guerdon.domain.tenants import Tenant
from loadtests.client_checks import CLIENT_CHECKS
from loadtests.evidence import Effect, Evidence, Row, Version
from loadtests.history import History

# Name -> a query that answers a `detail` for each violation; its first line says what must hold.
QUERIES = {
    file.stem: file.read_text() for file in sorted(Path(__file__).with_name("checks").glob("*.sql"))
}
# Findings of one check that are shown; the others are only counted.
EXAMPLES_MAX = 5
NOTHING_INHERITED: Mapping[UUID, int] = MappingProxyType({})

ROWS_QUERY = """
    select r.request_id, r.offer_id, r.offer_version, r.customer_id, r.target_id, l.product_id,
           r.order_ref, r.slot, r.sequence, r.customer_use, r.currency,
           coalesce(l.quantity, 0) as quantity, coalesce(l.unit_price_minor, 0) as unit_price_minor,
           r.list_minor, r.discount_minor, r.paid_minor, r.revoked_at is not null as revoked
    from guerdon.redemptions r
    left join guerdon.redemption_lines l
      on l.tenant_id = r.tenant_id and l.request_id = r.request_id and l.position = r.position
    where r.tenant_id = $1 and r.offer_id = any ($2::uuid[])
    order by r.offer_id, r.slot, r.sequence
"""
EFFECTS_QUERY = """
    select e.offer_id, e.slot, e.sequence, e.request_id, e.version
    from guerdon.offer_effects e where e.tenant_id = $1 and e.offer_id = any ($2::uuid[])
"""
VERSIONS_QUERY = """
    select v.offer_id, v.version, v.content::text
    from guerdon.offer_versions v where v.tenant_id = $1 and v.offer_id = any ($2::uuid[])
"""
TOMBSTONES_QUERY = """
    select r.request_id from guerdon.redemptions r where r.tenant_id = $1 and r.offer_id is null
"""
TENANT_QUERY = "select to_jsonb(t)::text from guerdon.tenants t where t.tenant_id = $1"
LIMITS_QUERY = """
    select o.offer_id, o.total_limit, o.per_customer_limit
    from guerdon.offers o where o.tenant_id = $1 and o.offer_id = any ($2::uuid[])
"""
TARGET_LIMITS_QUERY = """
    select p.offer_id, p.target_id, p.max_uses
    from guerdon.offer_products p
    where p.tenant_id = $1 and p.offer_id = any ($2::uuid[]) and p.max_uses is not null
"""


class Finding(msgspec.Struct, frozen=True):
    """One check's verdict; it passed when `count` is 0."""

    check: str
    sentence: str
    count: int
    examples: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """All verdicts, in the order of the checks."""

    findings: tuple[Finding, ...]
    rows: int

    @property
    def passed(self) -> bool:
        """Whether nothing at all was found."""
        return all(finding.count == 0 for finding in self.findings)

    @property
    def failed_checks(self) -> set[str]:
        """The names of the checks that found something."""
        return {finding.check for finding in self.findings if finding.count}


async def audit(
    database_url: str, history: History, inherited: Mapping[UUID, int] = NOTHING_INHERITED
) -> Report:
    """Check everything by one snapshot. The login must be able to read every table.

    `inherited` is the number of an offer's last effect before the history, where there is one: the
    clients' checks look at what came after it, the database's own at everything.
    """
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await audit_snapshot(connection, history, inherited)
    finally:
        await connection.close()


async def audit_snapshot(
    connection: asyncpg.Connection,
    history: History,
    inherited: Mapping[UUID, int] = NOTHING_INHERITED,
) -> Report:
    """The same inside the caller's transaction."""
    # Row level security binds also an owner of the tables who is not a superuser.
    tenant_id = history.tenant_id
    await connection.execute("select set_config('guerdon.tenant_id', $1, true)", str(tenant_id))
    offer_ids = [goal.offer_id for goal in history.goals]
    findings = [await run_query(connection, check, tenant_id, offer_ids) for check in QUERIES]
    evidence = await collect_evidence(connection, history, offer_ids)
    found = len(evidence.rows)
    evidence.rows = [row for row in evidence.rows if row.sequence > inherited.get(row.offer_id, 0)]
    findings += [
        finding_of(check.__name__.removeprefix("check_"), check.__doc__ or "", check(evidence))
        for check in CLIENT_CHECKS
    ]
    return Report(tuple(findings), found)


async def run_query(
    connection: asyncpg.Connection, check: str, tenant_id: UUID, offer_ids: Sequence[UUID]
) -> Finding:
    """One of QUERIES."""
    text = QUERIES[check]
    sentence = text.splitlines()[0].removeprefix("-- ")
    found = await connection.fetch(
        f"select detail, count(*) over () as count from ({text}) as found limit {EXAMPLES_MAX}",
        tenant_id,
        offer_ids,
    )
    examples = tuple(row["detail"] for row in found)
    return Finding(check, sentence, found[0]["count"] if found else 0, examples)


async def collect_evidence(
    connection: asyncpg.Connection, history: History, offer_ids: Sequence[UUID]
) -> Evidence:
    """What the clients' checks read of the database."""
    tenant_id = history.tenant_id
    arguments = (tenant_id, offer_ids)
    rows = [Row(*row) for row in await connection.fetch(ROWS_QUERY, *arguments)]
    effects = [Effect(*row) for row in await connection.fetch(EFFECTS_QUERY, *arguments)]
    versions = await connection.fetch(VERSIONS_QUERY, *arguments)
    tombstones = await connection.fetch(TOMBSTONES_QUERY, tenant_id)
    limits = await connection.fetch(LIMITS_QUERY, *arguments)
    targets = await connection.fetch(TARGET_LIMITS_QUERY, *arguments)
    tenant = msgspec.json.decode(await connection.fetchval(TENANT_QUERY, tenant_id), type=Tenant)
    return Evidence(
        history=history,
        rows=rows,
        effects=effects,
        versions={
            (row["offer_id"], row["version"]): Version(
                msgspec.json.decode(row["content"], type=OfferDraft)
            )
            for row in versions
        },
        tombstones=frozenset(row["request_id"] for row in tombstones),
        tenant=tenant,
        total_limits={row["offer_id"]: row["total_limit"] for row in limits},
        customer_limits={row["offer_id"]: row["per_customer_limit"] for row in limits},
        target_limits={(row["offer_id"], row["target_id"]): row["max_uses"] for row in targets},
    )


def finding_of(check: str, sentence: str, violations: Iterable[str]) -> Finding:
    """Counts all violations and keeps the first few."""
    examples: list[str] = []
    count = 0
    for violation in violations:
        count += 1
        if count <= EXAMPLES_MAX:
            examples.append(violation)
    return Finding(check, sentence.split("\n\n")[0].strip(), count, tuple(examples))


def print_report(report: Report, console: Console) -> None:
    """One line a check, and what it found below it."""
    found = sum(1 for finding in report.findings if finding.count)
    verdict = f"[red]{found} failed[/red]" if found else "[green]passed[/green]"
    checks = f"{len(report.findings)} checks over {report.rows:,} redemptions"
    console.print(f"Exactness audit, {checks}: {verdict}")
    for finding in report.findings:
        mark = "[red]FAIL[/red]" if finding.count else "[green]ok  [/green]"
        times = f" {finding.count:,} times not:" if finding.count else ""
        console.print(f"  {mark} {finding.sentence}{times}", soft_wrap=True)
        for example in finding.examples:
            console.print(f"         {example}", markup=False, soft_wrap=True)
