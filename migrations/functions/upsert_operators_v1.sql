-- upsert_operators_v1: take a batch of operators of one tenant.
--
-- Inputs: p_operators, an array of {operator_id, name, deleted}; the last of several with one id counts.
-- Outcomes: how many operators were inserted, changed, and left as they were.
-- Locks: operators by id.

create or replace function guerdon.upsert_operators_v1(
  p_tenant    uuid,
  p_operators jsonb,
  out o_inserted  integer,
  out o_updated   integer,
  out o_unchanged integer
)
language plpgsql
volatile
set search_path = pg_catalog
set lock_timeout = '2000ms'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_items integer;
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);

  with written as (
    insert into guerdon.operators as k (tenant_id, operator_id, name, received_at, updated_at, deleted_at)
    select distinct on (i.operator_id)
      p_tenant, i.operator_id, i.name, v_now, v_now, case when i.deleted then v_now end
    from rows from (
      jsonb_to_recordset(p_operators) as (operator_id uuid, name text, deleted boolean)
    ) with ordinality as i (operator_id, name, deleted, n)
    order by i.operator_id, i.n desc
    on conflict (tenant_id, operator_id) do update set
      name = excluded.name, updated_at = v_now,
      deleted_at = case when excluded.deleted_at is not null then coalesce(k.deleted_at, v_now) end
    where (k.name, k.deleted_at is null) is distinct from (excluded.name, excluded.deleted_at is null)
    returning k.received_at
  )
  select
    count(*) filter (where w.received_at = v_now), count(*) filter (where w.received_at < v_now)
  into o_inserted, o_updated
  from written as w;

  select count(distinct i.operator_id) into v_items
  from jsonb_to_recordset(p_operators) as i (operator_id uuid);
  o_unchanged := v_items - o_inserted - o_updated;
end
$$;

revoke all on function guerdon.upsert_operators_v1 from public;
grant execute on function guerdon.upsert_operators_v1 to guerdon_app;
