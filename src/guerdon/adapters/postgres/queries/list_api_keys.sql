select k.tenant_id, k.key_id, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at
from guerdon.api_keys k
where k.tenant_id = $1
  and ($2::timestamptz is null or (k.created_at, k.key_id) < ($2, $3::text))
order by k.created_at desc, k.key_id desc
limit $4
