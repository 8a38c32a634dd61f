-- write_offer_v1: create an offer, or replace what it says by its next version.
--
-- Purpose: the one place that changes offers, in one autocommit statement, so that no frozen server ever
-- holds an offer's lock. Called by adapters/postgres/offers.py with content that the domain validated.
--
-- Inputs
--   p_content            the version as it shall be: domain/offers.py: OfferDraft as JSON. Its
--                        offer.version is p_expected_version + 1, and it is kept in offer_versions.
--   p_code_normalised    null without a code
--   p_expected_version   0 creates; else the version that p_content was made from
--   p_lists_changed      false when targets, rules, translations, buy_get and audience are as that
--                        version said them: then their rows stay, and the lock is held for less long
--   p_changed_by         who, for offer_versions (and created_by)
--   p_lock_timeout_milliseconds   how long to wait for the offer's lock (55P03 past it)
--
-- Outcomes: o_written; o_version, the version in force, and when it was written. Nothing is written when
-- another version than the expected one is in force, or when there is no such live offer (o_version is
-- null then). A code that another live offer has raises offers_live_code.
--
-- Locks, as in redeem_v1: the offer's counter row first, `for no key update`. A redemption that waited
-- for it reads the new version and is priced again: an acknowledged edit is a barrier.

create or replace function guerdon.write_offer_v1(
  p_tenant                    uuid,
  p_content                   jsonb,
  p_code_normalised           text,
  p_expected_version          integer,
  p_lists_changed             boolean,
  p_changed_by                text,
  p_lock_timeout_milliseconds integer,
  out o_written               boolean,
  out o_version               integer,
  out o_updated_at            timestamptz)
language plpgsql
volatile
set search_path = pg_catalog
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  v_content  jsonb := p_content -> 'offer';
  v_offer    uuid  := (p_content -> 'offer' ->> 'offer_id')::uuid;
  v_sequence bigint;
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  perform set_config('lock_timeout', p_lock_timeout_milliseconds::text, true);

  if p_expected_version > 0 then
    select c.version, c.last_sequence + 1 into o_version, v_sequence
    from guerdon.offer_counters c
    where c.tenant_id = p_tenant and c.offer_id = v_offer and c.slot = 0
    for no key update;
    select o.updated_at into o_updated_at
    from guerdon.offers o
    where o.tenant_id = p_tenant and o.offer_id = v_offer and o.deleted_at is null;
    if not found then
      o_version := null;
    end if;
    if o_version is distinct from p_expected_version then
      o_written := false;
      return;
    end if;
  end if;

  o_written := true;
  o_version := p_expected_version + 1;
  -- Versions of one offer are also told apart by this time, so it must grow even if the clock steps back.
  o_updated_at := greatest(clock_timestamp(), o_updated_at + interval '1 microsecond');

  if p_expected_version = 0 then
    insert into guerdon.offers (
      tenant_id, offer_id, version, kind, status, code, code_normalised, discount_type, discount_bps,
      discount_minor, offer_quantity, max_discount_minor, currency, priority, auto_apply, service_type,
      product_scope, audience_mode, eligibility_logic, total_limit, per_customer_limit, starts_at,
      ends_at, internal_note, created_by, created_at, updated_at)
    select
      p_tenant, v_offer, o_version, r.kind, r.status, r.code, p_code_normalised, r.discount ->> 'type',
      (r.discount ->> 'bps')::integer, (r.discount ->> 'minor')::bigint, r.offer_quantity,
      r.max_discount_minor, r.currency, r.priority, r.auto_apply, r.service_type, r.product_scope,
      r.audience_mode, r.eligibility_logic, r.total_limit, r.per_customer_limit, r.starts_at, r.ends_at,
      p_content ->> 'internal_note', p_changed_by, o_updated_at, o_updated_at
    from jsonb_to_record(v_content) as r (
      kind text, status text, code text, discount jsonb, offer_quantity integer,
      max_discount_minor bigint, currency text, priority integer, auto_apply boolean,
      service_type text, product_scope text, audience_mode text, eligibility_logic text,
      total_limit bigint, per_customer_limit integer, starts_at timestamptz, ends_at timestamptz);
    insert into guerdon.offer_counters (tenant_id, offer_id, slot, version)
    values (p_tenant, v_offer, 0, o_version);
  else
    update guerdon.offers o
    set version = o_version, kind = r.kind, status = r.status, code = r.code,
        code_normalised = p_code_normalised, discount_type = r.discount ->> 'type',
        discount_bps = (r.discount ->> 'bps')::integer,
        discount_minor = (r.discount ->> 'minor')::bigint, offer_quantity = r.offer_quantity,
        max_discount_minor = r.max_discount_minor, currency = r.currency, priority = r.priority,
        auto_apply = r.auto_apply, service_type = r.service_type, product_scope = r.product_scope,
        audience_mode = r.audience_mode, eligibility_logic = r.eligibility_logic,
        total_limit = r.total_limit, per_customer_limit = r.per_customer_limit,
        starts_at = r.starts_at, ends_at = r.ends_at, internal_note = p_content ->> 'internal_note',
        updated_at = o_updated_at
    from jsonb_to_record(v_content) as r (
      kind text, status text, code text, discount jsonb, offer_quantity integer,
      max_discount_minor bigint, currency text, priority integer, auto_apply boolean,
      service_type text, product_scope text, audience_mode text, eligibility_logic text,
      total_limit bigint, per_customer_limit integer, starts_at timestamptz, ends_at timestamptz)
    where o.tenant_id = p_tenant and o.offer_id = v_offer;
    update guerdon.offer_counters c
    set version = o_version, last_sequence = v_sequence
    where c.tenant_id = p_tenant and c.offer_id = v_offer and c.slot = 0;
    insert into guerdon.offer_effects (tenant_id, offer_id, slot, sequence, kind, version, occurred_at)
    values (p_tenant, v_offer, 0, v_sequence, 'edited', o_version, o_updated_at);
  end if;

  insert into guerdon.offer_versions (tenant_id, offer_id, version, content, changed_by, changed_at)
  values (p_tenant, v_offer, o_version, p_content, p_changed_by, o_updated_at);

  if p_lists_changed then
    perform guerdon.replace_offer_lists_v1(p_tenant, v_offer, p_content);
  end if;
  perform pg_notify(
    'guerdon_changes', format('offer %s %s %s', p_tenant, v_offer, o_version));
end
$$;

revoke all on function guerdon.write_offer_v1 from public;
grant execute on function guerdon.write_offer_v1 to guerdon_app;
