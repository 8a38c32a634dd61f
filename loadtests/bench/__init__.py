"""`./dev bench`: throughput as ratios against rivals of the same run."""
