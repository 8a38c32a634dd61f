-- record_activity_v1: take days on which customers of one tenant were active without a transaction.
--
-- Inputs, parallel arrays, a row a day: p_customers, p_days (days of the tenant's zone); rows may repeat.
-- Outcomes: how many different days were new, and how many had been reported before. Idempotent; a
-- reported day is never taken back.
-- Locks: customers' facts (lock_customer_facts_v1).

create or replace function guerdon.record_activity_v1(
  p_tenant    uuid,
  p_customers uuid[],
  p_days      date[],
  out o_inserted  integer,
  out o_unchanged integer
)
language plpgsql
volatile
set search_path = pg_catalog
set lock_timeout = '2000ms'
set plan_cache_mode = force_generic_plan
as $$
declare
  c_all_operators constant uuid := '00000000-0000-0000-0000-000000000000';
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  perform guerdon.lock_customer_facts_v1(p_tenant, p_customers);

  insert into guerdon.customer_activity_daily as d (tenant_id, customer_id, operator_id, day, reported)
  select distinct p_tenant, a.customer_id, c_all_operators, a.day, true
  from unnest(p_customers, p_days) as a (customer_id, day)
  on conflict (tenant_id, customer_id, operator_id, day) do update set reported = true
  where not d.reported;
  get diagnostics o_inserted = row_count;

  select count(distinct (a.customer_id, a.day)) - o_inserted into o_unchanged
  from unnest(p_customers, p_days) as a (customer_id, day);
end
$$;

revoke all on function guerdon.record_activity_v1 from public;
grant execute on function guerdon.record_activity_v1 to guerdon_app;
