"""Load on a running server by its API: exactness under Locust, throughput against rivals."""

from pathlib import Path

# Where `python -m loadtests...` finds this package.
ROOT = Path(__file__).resolve().parent.parent
