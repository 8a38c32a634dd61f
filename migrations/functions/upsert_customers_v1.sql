-- upsert_customers_v1: take a batch of customers of one tenant, each with all its roles.
--
-- Inputs: p_customers, an array of {customer_id, external_ref, status (active | blocked), created_at,
-- last_active_at, roles}; the last of several with one id counts. What is null or left out is not known,
-- and replaces what was known; but a time of last activity never goes back, and its day is also recorded
-- as an activity (record_activity_v1), which is where the rules look.
--
-- Outcomes: how many customers were inserted, changed (roles included), and left as they were.
--
-- Locks: customers by id; then customers' facts (lock_customer_facts_v1).
-- Roles are written under their customer's lock.

create or replace function guerdon.upsert_customers_v1(
  p_tenant    uuid,
  p_customers jsonb,
  out o_inserted  integer,
  out o_updated   integer,
  out o_unchanged integer
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
  v_ids       uuid[];
  v_refs      text[];
  v_statuses  text[];
  v_created   timestamptz[];
  v_active    timestamptz[];
  v_roles     jsonb[];
  v_is_active boolean[];
  v_is_recast boolean[];
  v_position  integer;
  v_now       timestamptz := clock_timestamp();
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'facts are written on what the locks waited for: READ COMMITTED only'
      using errcode = 'GD002';
  end if;
  perform set_config('guerdon.tenant_id', p_tenant::text, true);

  select
    array_agg(c.customer_id), array_agg(c.external_ref), array_agg(c.status),
    array_agg(c.created_at), array_agg(c.last_active_at), array_agg(c.roles)
  into v_ids, v_refs, v_statuses, v_created, v_active, v_roles
  from (
    select distinct on (i.customer_id)
      i.customer_id, i.external_ref, coalesce(i.status, 'active') as status, i.created_at,
      i.last_active_at, (
        select coalesce(jsonb_agg(distinct r.role_name order by r.role_name), '[]')
        from unnest(i.roles) as r (role_name)
      ) as roles
    from rows from (
      jsonb_to_recordset(p_customers) as (
        customer_id uuid, external_ref text, status text, created_at timestamptz,
        last_active_at timestamptz, roles text[])
    ) with ordinality as i (customer_id, external_ref, status, created_at, last_active_at, roles, n)
    order by i.customer_id, i.n desc
  ) as c;

  insert into guerdon.customers as k (
    tenant_id, customer_id, external_ref, status, created_at, last_active_at, received_at, updated_at)
  select p_tenant, c.customer_id, c.external_ref, c.status, c.created_at, c.last_active_at, v_now, v_now
  from unnest(v_ids, v_refs, v_statuses, v_created, v_active)
    as c (customer_id, external_ref, status, created_at, last_active_at)
  order by c.customer_id
  on conflict (tenant_id, customer_id) do update set
    external_ref = excluded.external_ref, status = excluded.status, created_at = excluded.created_at,
    last_active_at = greatest(k.last_active_at, excluded.last_active_at), updated_at = v_now
  where (k.external_ref, k.status, k.created_at)
      is distinct from (excluded.external_ref, excluded.status, excluded.created_at)
    or excluded.last_active_at > coalesce(k.last_active_at, '-infinity');

  -- Every row is locked by now, and those of this very instant were written by this call.
  select
    array_agg(k.updated_at = v_now and c.last_active_at is not null order by c.n),
    array_agg(r.is_recast order by c.n),
    count(*) filter (where k.received_at = v_now),
    count(*) filter (where k.received_at < v_now and (k.updated_at = v_now or r.is_recast))
  into v_is_active, v_is_recast, o_inserted, o_updated
  from unnest(v_ids, v_active, v_roles) with ordinality as c (customer_id, last_active_at, roles, n)
  cross join lateral (
    select x.received_at, x.updated_at from guerdon.customers x
    where x.tenant_id = p_tenant and x.customer_id = c.customer_id
    limit 1
  ) as k
  cross join lateral (
    select c.roles <> (
      select coalesce(jsonb_agg(h.role_name order by h.role_name), '[]')
      from guerdon.customer_roles h
      where h.tenant_id = p_tenant and h.customer_id = c.customer_id
    ) as is_recast
    offset 0
  ) as r;
  o_unchanged := cardinality(v_ids) - o_inserted - o_updated;

  for v_position in select unnest(array_positions(v_is_recast, true)) loop
    delete from guerdon.customer_roles h
    where h.tenant_id = p_tenant and h.customer_id = v_ids[v_position]
      and not v_roles[v_position] ? h.role_name;
  end loop;
  insert into guerdon.customer_roles (tenant_id, customer_id, role_name)
  select p_tenant, c.customer_id, r.role_name
  from unnest(v_ids, v_roles, v_is_recast) as c (customer_id, roles, is_recast)
  cross join lateral jsonb_array_elements_text(c.roles) as r (role_name)
  where c.is_recast
  on conflict do nothing;

  if true = any (v_is_active) then
    perform guerdon.record_activity_v1(
      p_tenant,
      array_agg(c.customer_id),
      array_agg((c.last_active_at at time zone t.time_zone)::date))
    from unnest(v_ids, v_active, v_is_active) as c (customer_id, last_active_at, is_active)
    left join guerdon.tenants t on t.tenant_id = p_tenant
    where c.is_active;
  end if;
end
$$;

revoke all on function guerdon.upsert_customers_v1 from public;
grant execute on function guerdon.upsert_customers_v1 to guerdon_app;
