-- A place to write to for the proof that a server can write at all (functions/prove_writable_v1.sql).

-- migrate:up

create table guerdon.write_proofs (
  slot      smallint    not null,
  proved_at timestamptz not null,
  constraint write_proofs_pkey primary key (slot),
  constraint write_proofs_slot_in_range check (slot between 0 and 63)
) with (fillfactor = 50);
comment on table guerdon.write_proofs is
  'When a server last proved that it can write. Servers choose a slot at random, so few wait for each other.';

grant select, insert, update on guerdon.write_proofs to guerdon_app;

-- Servers compare what is applied with what they were built for before they serve.
do $$
begin
  if to_regnamespace('guerdon_migrations') is not null then
    grant usage on schema guerdon_migrations to guerdon_app;
    grant select on all tables in schema guerdon_migrations to guerdon_app;
  end if;
end
$$;

-- migrate:down

drop table guerdon.write_proofs;
