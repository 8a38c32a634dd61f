-- lock_customer_facts_v1: the lock under which the rollups of these customers are written.
--
-- Purpose: a customer's rollups (customer_stats, customer_activity_daily) are many rows, and a push touches
-- many customers. So there is one lock a customer: the customer_stats row of all operators. It is created
-- before it is locked, and rows are locked in order of customer id. Whoever holds it may write the
-- customer's other rollup rows, and change the status of the customer's transactions, in any order.
--
-- Inputs: customers in any order, repeated or not. Locks are held until the transaction ends.
-- Outcomes: none; GD002 outside READ COMMITTED, where the caller could not read what the locks waited for.

create or replace function guerdon.lock_customer_facts_v1(p_tenant uuid, p_customers uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  c_all_operators constant uuid := '00000000-0000-0000-0000-000000000000';
  v_customers     uuid[] := array(select distinct c.id from unnest(p_customers) as c (id) order by c.id);
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'facts are written on what the locks waited for: READ COMMITTED only'
      using errcode = 'GD002';
  end if;

  insert into guerdon.customer_stats (tenant_id, customer_id, operator_id)
  select p_tenant, c.id, c_all_operators from unnest(v_customers) as c (id)
  on conflict do nothing;

  -- The lateral subquery cannot be flattened, so it runs in the order of the array.
  perform from unnest(v_customers) as c (id)
  cross join lateral (
    select from guerdon.customer_stats s
    where s.tenant_id = p_tenant and s.customer_id = c.id and s.operator_id = c_all_operators
    for no key update
  ) as s;
end
$$;

revoke all on function guerdon.lock_customer_facts_v1 from public;
grant execute on function guerdon.lock_customer_facts_v1 to guerdon_app;
