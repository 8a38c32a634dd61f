insert into guerdon.api_keys (tenant_id, key_id, name, secret_hash, scopes, created_at, expires_at)
select $1, $2, $3, $4, $5, n.now, $6
from (select clock_timestamp() as now) as n
where $6::timestamptz is null or $6 > n.now
returning created_at
