-- read_api_key_v1: what decides whether a presented API key is good.
--
-- Inputs: the tenant and key id that the presented key itself names: they are unproved until the secret
-- has been compared with o_secret_hash. Outcome: nulls when there is no such key or its tenant is
-- deleted. o_seconds_left (null: never expires, 0: expired) is by the database's clock, so that a
-- server's wrong clock keeps no key alive. It locks nothing.

create or replace function guerdon.read_api_key_v1(
  p_tenant           uuid,
  p_key_id           text,
  out o_secret_hash  bytea,
  out o_scopes       text[],
  out o_revoked      boolean,
  out o_seconds_left double precision)
language plpgsql
volatile
set search_path = pg_catalog
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  select k.secret_hash, k.scopes, k.revoked_at is not null,
         -- Not greatest() alone: it passes over nulls, and a key that never expires would be expired.
         case when k.expires_at is not null
           then greatest(extract(epoch from k.expires_at - clock_timestamp()), 0) end
  into o_secret_hash, o_scopes, o_revoked, o_seconds_left
  from guerdon.api_keys k
  join guerdon.tenants t on t.tenant_id = k.tenant_id and t.deleted_at is null
  where k.tenant_id = p_tenant and k.key_id = p_key_id;
end
$$;

revoke all on function guerdon.read_api_key_v1 from public;
grant execute on function guerdon.read_api_key_v1 to guerdon_app;
