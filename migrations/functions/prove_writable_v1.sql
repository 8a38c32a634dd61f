-- prove_writable_v1: write one row, and answer the database's clock. The proof behind "ready".
--
-- Input: a slot from 0 to 63, chosen by the server once. It belongs to no tenant and sets none.
-- A standby, a read-only database and a full disk all answer `select 1`; here they fail.
-- Locks: the slot's own row.

create or replace function guerdon.prove_writable_v1(p_slot smallint)
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog
set lock_timeout = '2000ms'
as $$
declare
  v_now constant timestamptz := clock_timestamp();
begin
  insert into guerdon.write_proofs (slot, proved_at)
  values (p_slot, v_now)
  on conflict (slot) do update set proved_at = excluded.proved_at;
  return v_now;
end
$$;

revoke all on function guerdon.prove_writable_v1 from public;
grant execute on function guerdon.prove_writable_v1 to guerdon_app;
