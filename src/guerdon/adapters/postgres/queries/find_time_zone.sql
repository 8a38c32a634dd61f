select z.name from pg_catalog.pg_timezone_names z where z.name = $1
