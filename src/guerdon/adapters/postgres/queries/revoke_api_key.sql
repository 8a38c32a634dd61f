with revoked as (
  update guerdon.api_keys k
  set revoked_at = coalesce(k.revoked_at, clock_timestamp())
  where k.tenant_id = $1 and k.key_id = $2
  returning k.tenant_id, k.key_id, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at
)
select r.*, pg_notify('guerdon_changes', $3)
from revoked r
