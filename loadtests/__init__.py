"""Load on a running server by its API: exactness under Locust, throughput against rivals."""
