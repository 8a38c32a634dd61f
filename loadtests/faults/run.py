"""One run of the lab: clients and admins at work, faults by the schedule, then quiet.

`run_lab` leaves everything that the judgement needs in a folder; see record.py. Nothing is judged
here.
"""

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from loadtests import ROOT
from loadtests.admin import admin_of
from loadtests.faults.admin_traffic import Admins
from loadtests.faults.calls import Caller
from loadtests.faults.clients import Met, Order
from loadtests.faults.faults import apply
from loadtests.faults.intents import IntentLog, Told, read_told
from loadtests.faults.market import open_market
from loadtests.faults.observe import Watch, observe, until_idle
from loadtests.faults.points import POINT_FAULTS, apply_point
from loadtests.faults.record import (
    HISTORY_FOLDER,
    LOGS_FOLDER,
    POINTS_FOLDER,
    RunRecord,
    history_files,
)
from loadtests.faults.report import FaultMark, Phase
from loadtests.faults.schedule import KILL_CLIENTS, Schedule, Step
from loadtests.faults.settle import Settler, finish_offers, open_requests
from loadtests.faults.site import Site
from loadtests.faults.wares import Demand, Ware

# Processes of clients, and the workers of each.
CLIENT_PROCESSES = 2
CLIENT_WORKERS = 24
# Seconds for the clients to hear what is under way, before they are killed.
CLIENT_END_SECONDS = 15.0

Tell = Callable[[str, float, Met], None]


class ClientProcess:
    """One process of clients, which may be killed and started again with a new history."""

    def __init__(self, order: Order, folder: Path, number: int) -> None:
        self._order = order
        self._folder = folder
        self._number = number
        self._starts = 0
        self._before = Met()
        self._now = Met()
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._starts += 1
        self._before, self._now = self.met, Met()
        name = f"client-{self._number}-{self._starts}"
        order = msgspec.structs.replace(
            self._order,
            seed=f"{self._order.seed}-{name}",
            history_file=str(self._folder / HISTORY_FOLDER / name),
        )
        with (self._folder / LOGS_FOLDER / f"{name}.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "loadtests.faults.clients",
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._reading = asyncio.create_task(self._read())

    async def kill(self) -> None:
        """SIGKILL: what it meant and heard is in its history."""
        self._process.kill()
        await self._wait()

    async def end(self) -> None:
        """What is under way is heard first."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(CLIENT_END_SECONDS):
                await self._wait()
        except TimeoutError:
            await self.kill()

    @property
    def met(self) -> Met:
        return sum_of([self._before, self._now])

    async def _wait(self) -> None:
        await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._now = msgspec.json.decode(line, type=Met)


def sum_of(met: Sequence[Met]) -> Met:
    return Met(*map(sum, zip(*map(msgspec.structs.astuple, met), strict=True)))


class Run:
    """What the phases of a run share."""

    def __init__(
        self, site: Site, api_keys: Mapping[UUID, str], record: RunRecord, folder: Path, tell: Tell
    ) -> None:
        self._site = site
        self._keys = dict(api_keys)
        self.record = record
        self._folder = folder
        self._tell = tell
        self._clients: list[ClientProcess] = []

    async def open_market(self) -> None:
        """Every tenant's offers."""

        def create() -> list[Ware]:
            wares = []
            for tenant_id, key in self._keys.items():
                with admin_of(self._site.admin_address, key) as admin:
                    wares += open_market(admin, tenant_id)
            return wares

        self.record.wares = await asyncio.to_thread(create)

    async def under_faults(self, attempts_per_second: float) -> None:
        """Clients and admins at work until every fault of the schedule is over."""
        (self._folder / HISTORY_FOLDER).mkdir(exist_ok=True)
        schedule = self.record.schedule
        began_at = time.monotonic()
        chance = random.Random(f"{schedule.seed} admins")
        order = Order(
            addresses=self._site.addresses,
            api_keys=self._keys,
            wares=self.record.wares,
            seed=str(schedule.seed),
            workers=CLIENT_WORKERS,
            attempts_per_second=attempts_per_second / CLIENT_PROCESSES,
            history_file="",
        )
        self._clients = [
            ClientProcess(order, self._folder, number) for number in range(CLIENT_PROCESSES)
        ]
        admins = Admins(self._site.addresses, self._keys, self.record.wares)
        for client in self._clients:
            await client.start()
        editing = asyncio.create_task(admins.work(chance))
        try:
            with Watch(self._site).running() as watch:
                await self._break_things(schedule, began_at)
            self.record.observed.worker_megabytes = watch.worker_megabytes
        finally:
            editing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await editing
            for client in self._clients:
                await client.end()
            await admins.close()
        self.record.edits += admins.edits
        self._note_phase("faults", began_at)

    async def _break_things(self, schedule: Schedule, began_at: float) -> None:
        telling = asyncio.create_task(self._tell_progress(schedule, began_at))
        try:
            async with asyncio.TaskGroup() as group:
                for step in schedule.steps:
                    await asyncio.sleep(max(0.0, began_at + step.at - time.monotonic()))
                    group.create_task(self._break(step))
                await asyncio.sleep(max(0.0, began_at + schedule.seconds - time.monotonic()))
        finally:
            telling.cancel()

    async def _break(self, step: Step) -> None:
        if step.injection.fault == KILL_CLIENTS:
            client = self._clients[step.injection.choice % len(self._clients)]
            at = time.monotonic() - self.record.began_at
            await client.kill()
            await client.start()
            mark = FaultMark("clients", KILL_CLIENTS, at)
        elif step.injection.fault in POINT_FAULTS:
            points = self._folder / POINTS_FOLDER
            reached = await apply_point(self._site, points, step.injection, self.record.began_at)
            if reached is None:
                return
            mark = reached
        else:
            mark = await apply(self._site, step.injection, self.record.began_at)
        self.record.marks.append(mark)

    async def _tell_progress(self, schedule: Schedule, began_at: float) -> None:
        while True:
            totals = sum_of([client.met for client in self._clients])
            done = min(1.0, (time.monotonic() - began_at) / schedule.seconds)
            faults = f"{len(self.record.marks)} of {len(schedule.steps)} faults"
            self._tell(faults, done, totals)
            await asyncio.sleep(1.0)

    async def settle(self) -> None:
        """Heal, wait until nothing is under way, and make every outcome definite."""
        began_at = time.monotonic()
        self._tell("healing", 0.0, Met())
        await self._site.heal()
        await until_idle(self._site.database_url)
        self.record.quiet_at = time.monotonic()
        self._note_phase("quiet", began_at)
        told = read_told(history_files(self._folder))
        seed = self.record.schedule.seed
        with IntentLog(self._folder / HISTORY_FOLDER / "settling") as log:
            caller = Caller(log, self._site.addresses, self._keys)
            admins = Admins(self._site.addresses, self._keys, self.record.wares)
            settler = Settler(caller, told, seed)
            open_ones = open_requests(told)
            self._tell(f"asking {len(open_ones):,} open requests again", 0.0, Met())
            await settler.resolve(open_ones)
            self._tell("using up what is left", 0.5, Met())
            demand = Demand(self.record.wares, f"{seed} rest")
            self.record.goals = await finish_offers(admins, settler, self.record.wares, demand)
            self.record.edits += admins.edits
            await admins.close()
            await caller.close()
        self._note_phase("retries", self.record.quiet_at)

    async def observe(self) -> None:
        """What only the standing site can tell."""
        self._tell("comparing Redis with Postgres", 0.9, Met())
        demand = Demand(self.record.wares, f"{self.record.schedule.seed} trickle")
        with IntentLog(self._folder / HISTORY_FOLDER / "trickle") as log:
            caller = Caller(log, self._site.addresses, self._keys)
            settler = Settler(caller, Told(), self.record.schedule.seed)

            async def use(offers: Sequence[UUID]) -> None:
                await settler.use(
                    [ware for ware in self.record.wares if ware.offer_id in offers], demand
                )

            await observe(self._site, self.record, use)
            await caller.close()
        self.record.ended_at = time.monotonic()

    def _note_phase(self, name: str, began_at: float) -> None:
        start = self.record.began_at
        now = time.monotonic()
        self.record.phases.append(Phase(name, began_at - start, now - start))


async def run_lab(
    site: Site,
    api_keys: Mapping[UUID, str],
    tier: str,
    schedule: Schedule,
    folder: Path,
    tell: Tell,
    *,
    bug: str = "",
    attempts_per_second: float,
) -> RunRecord:
    """The whole run on a site that serves. `folder` is empty but for logs/."""
    record = RunRecord(
        tier=tier,
        schedule=schedule,
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        began_at=time.monotonic(),
        tenants=list(api_keys),
        wares=[],
        bug=bug,
    )
    run = Run(site, api_keys, record, folder, tell)
    try:
        await run.open_market()
        await run.under_faults(attempts_per_second)
        await run.settle()
        await run.observe()
    finally:
        record.save(folder)
    return record
