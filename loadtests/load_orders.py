"""What the load test tells the process of its clients, and what it hears."""

import msgspec

from loadtests.load_plan import Wish


class Order(msgspec.Struct, frozen=True):
    """What to do. `seconds_max` bounds the run, however far it came."""

    address: str
    api_key: str
    users: int
    seconds_max: float
    wishes: list[Wish]
    attempts_file: str


class Result(msgspec.Struct, frozen=True):
    """What standard output gets in the end. Latencies are milliseconds of the OK answers."""

    seconds: float
    calls: int
    median_milliseconds: float
    p99_milliseconds: float
