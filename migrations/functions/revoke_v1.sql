-- revoke_v1: give the use of one request back, whole and once.
--
-- Inputs: the tenant, the request id, why (for the record; may be empty).
-- Outcomes:
--   revoked          the redemption stood and now counts no more
--   already_revoked  it had been given back before; nothing changed
--   tombstoned       no redemption is known: the request id can never redeem from now on
-- The counters answered are those after the revoke; null for a tombstone.
--
-- Locks: the offer's counter row, then the redemption row (the order of redeem_v1.sql). A tombstone locks
-- nothing but its own primary key, so a redeem of the same id that is under way decides first.

create or replace function guerdon.revoke_v1(
  p_tenant     uuid,
  p_request_id uuid,
  p_reason     text,
  out o_outcome        text,
  out o_revoked_at     timestamptz,
  out o_offer          uuid,
  out o_version        integer,
  out o_last_sequence  bigint,
  out o_used           bigint,
  out o_total_limit    bigint,
  out o_customer_limit integer,
  out o_customer       uuid,
  out o_customer_used  integer
)
language plpgsql
volatile
set search_path = pg_catalog
set lock_timeout = '2000ms'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_redemption record;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'revoke_v1 reads what its locks waited for: READ COMMITTED only'
      using errcode = 'GD002';
  end if;
  perform set_config('guerdon.tenant_id', p_tenant::text, true);

  o_revoked_at := clock_timestamp();
  insert into guerdon.redemptions (tenant_id, request_id, revoked_at, revoke_reason)
  values (p_tenant, p_request_id, o_revoked_at, p_reason)
  on conflict do nothing;
  if found then
    o_outcome := 'tombstoned';
    return;
  end if;

  -- The insert waited for whoever wrote the row, so it is committed and its offer never changes.
  select r.offer_id, r.revoked_at into v_redemption
  from guerdon.redemptions r
  where r.tenant_id = p_tenant and r.request_id = p_request_id and r.position = 0;
  if v_redemption.offer_id is null then
    o_outcome := 'tombstoned';
    o_revoked_at := v_redemption.revoked_at;
    return;
  end if;

  o_offer := v_redemption.offer_id;
  perform from guerdon.offer_counters c
  where c.tenant_id = p_tenant and c.offer_id = o_offer and c.slot = 0
  for no key update;

  select r.* into v_redemption
  from guerdon.redemptions r
  where r.tenant_id = p_tenant and r.request_id = p_request_id and r.position = 0;
  o_customer := v_redemption.customer_id;

  if v_redemption.revoked_at is not null then
    o_outcome := 'already_revoked';
    o_revoked_at := v_redemption.revoked_at;
  else
    o_outcome := 'revoked';
    o_revoked_at := clock_timestamp();
    update guerdon.redemptions r
    set revoked_at = o_revoked_at, revoke_reason = p_reason
    where r.tenant_id = p_tenant and r.request_id = p_request_id and r.position = 0;
    update guerdon.offer_counters c
    set used = c.used - 1, spent_minor = c.spent_minor - v_redemption.discount_minor,
        last_sequence = c.last_sequence + 1
    where c.tenant_id = p_tenant and c.offer_id = o_offer and c.slot = 0;
    update guerdon.offer_customer_usage u
    set used = u.used - 1
    where u.tenant_id = p_tenant and u.offer_id = o_offer and u.customer_id = o_customer;
    update guerdon.offer_product_counters t
    set used = t.used - 1
    where t.tenant_id = p_tenant and t.offer_id = o_offer and t.target_id = v_redemption.target_id;
    insert into guerdon.offer_effects (
      tenant_id, offer_id, slot, sequence, kind, request_id, version, occurred_at)
    select p_tenant, o_offer, 0, c.last_sequence, 'revoked', p_request_id, c.version, o_revoked_at
    from guerdon.offer_counters c
    where c.tenant_id = p_tenant and c.offer_id = o_offer and c.slot = 0;
  end if;

  select c.version, c.last_sequence, c.used, o.total_limit, o.per_customer_limit, u.used
  into o_version, o_last_sequence, o_used, o_total_limit, o_customer_limit, o_customer_used
  from guerdon.offer_counters c
  join guerdon.offers o on o.tenant_id = p_tenant and o.offer_id = c.offer_id
  join guerdon.offer_customer_usage u
    on u.tenant_id = p_tenant and u.offer_id = c.offer_id and u.customer_id = o_customer
  where c.tenant_id = p_tenant and c.offer_id = o_offer and c.slot = 0;
end
$$;

revoke all on function guerdon.revoke_v1 from public;
grant execute on function guerdon.revoke_v1 to guerdon_app;
