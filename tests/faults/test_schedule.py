"""A seed repeats a schedule, and a schedule breaks everything."""

import msgspec

from loadtests.faults.faults import CATALOGUE
from loadtests.faults.points import POINT_FAULTS
from loadtests.faults.schedule import KILL_CLIENTS, Schedule, kill_counts
from loadtests.faults.tiers import QUICK, kills_schedule, kills_tier, schedule_of
from loadtests.faults.wares import Demand, Kind, Ware
from tests.support.ledger import new_id


def test_a_seed_repeats_the_schedule() -> None:
    assert schedule_of(QUICK, 7) == schedule_of(QUICK, 7)
    assert schedule_of(QUICK, 7) != schedule_of(QUICK, 8)


def test_the_quick_run_does_every_fault() -> None:
    for seed in range(20):
        every = {*CATALOGUE, *POINT_FAULTS, KILL_CLIENTS}
        assert set(schedule_of(QUICK, seed).counts()) == every


def test_counted_kills_are_as_many_as_asked_for() -> None:
    tier = kills_tier(200)
    counts = kills_schedule(tier, 200, 1).counts()
    assert {name: counts[name] for name in kill_counts(200)} == {
        "kill_server": 200,
        "kill_postgres": 40,
        "kill_redis": 40,
        "flush_redis": 100,
    }
    assert tier.seconds < 14 * 60


def test_faults_begin_in_order_and_within_the_run() -> None:
    for schedule in (schedule_of(QUICK, 3), kills_schedule(kills_tier(10), 10, 3)):
        moments = [step.at for step in schedule.steps]
        assert moments == sorted(moments)
        assert 0 <= moments[0] <= moments[-1] <= schedule.seconds


def test_a_schedule_can_be_written_down() -> None:
    schedule = schedule_of(QUICK, 5)
    assert msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule) == schedule


def test_a_seed_repeats_the_demand() -> None:
    wares = [
        Ware(new_id(), new_id(), Kind.HOT, 2, total=5),
        Ware(new_id(), new_id(), Kind.EACH, 1, each=2),
        Ware(new_id(), new_id(), Kind.ORDERS, 1),
    ]
    one, other = Demand(wares, "seed"), Demand(wares, "seed")
    assert [one.next() for _ in range(100)] == [other.next() for _ in range(100)]


def test_every_customer_asks_for_more_than_the_limit() -> None:
    ware = Ware(new_id(), new_id(), Kind.EACH, 1, each=2)
    demand = Demand([ware], "seed")
    asked = [demand.next().customer_id for _ in range(600)]
    finished = [asked.count(customer) for customer in set(asked)]
    assert finished.count(6) > len(finished) / 2
    assert max(finished) == 6
