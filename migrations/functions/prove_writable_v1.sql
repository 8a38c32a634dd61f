-- Writes one row and returns the database's clock: the proof behind "ready".
--
-- p_slot: 0 to 63, chosen by the server once. It belongs to no tenant and sets none.
-- A standby, a read-only database and a full disk all answer `select 1`, and all fail here.
-- Locks the slot's own row only.
create or replace function guerdon.prove_writable_v1(p_slot smallint)
  returns timestamptz
  language plpgsql
  set search_path = ''
as $$
declare
  v_now constant timestamptz := pg_catalog.clock_timestamp();
begin
  insert into guerdon.write_proofs as proof (slot, proved_at)
  values (p_slot, v_now)
  on conflict (slot) do update set proved_at = excluded.proved_at;
  return v_now;
end
$$;

revoke all on function guerdon.prove_writable_v1(smallint) from public;
grant execute on function guerdon.prove_writable_v1(smallint) to guerdon_app;
