"""Everything outside the process: Postgres, Redis, caches. Adapters keep the contracts of
ports."""
