-- Tenants, their keys, and the role the servers work as.
-- Every table with a tenant_id column has row level security enabled and forced: a query that forgets
-- its tenant, or runs before guerdon.tenant_id is set, sees nothing and writes nothing.

-- migrate:up

create schema guerdon;

-- Roles belong to the whole cluster, so another database of the same cluster may have made this one.
do $$
begin
  if not exists (select from pg_roles where rolname = 'guerdon_app') then
    create role guerdon_app nologin nosuperuser nocreatedb nocreaterole nobypassrls;
  end if;
exception when duplicate_object or unique_violation then
  null; -- Another migration of the same cluster won the race; the role is there, which is all that matters.
end
$$;
grant usage on schema guerdon to guerdon_app;

create table guerdon.currencies (
  code     text     not null,
  exponent smallint not null,
  constraint currencies_pkey primary key (code),
  constraint currencies_code_is_iso_4217 check (code ~ '^[A-Z]{3}$'),
  constraint currencies_exponent_in_range check (exponent between 0 and 4)
);
comment on table guerdon.currencies is
  'ISO 4217 codes and how many decimals their minor unit has; equal to guerdon.domain.money.';

insert into guerdon.currencies (code, exponent)
select unnest(string_to_array(
  'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF', ' ')), 0
union all
select unnest(string_to_array(
  'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY '
  'COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF '
  'IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR '
  'MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG '
  'SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST '
  'XCD YER ZAR ZMW', ' ')), 2
union all
select unnest(string_to_array('BHD IQD JOD KWD LYD OMR TND', ' ')), 3
union all
select unnest(string_to_array('CLF UYW', ' ')), 4;

create table guerdon.tenants (
  tenant_id      uuid        not null,
  name           text        not null,
  currency       text        not null,
  time_zone      text        not null default 'UTC',
  rounding       text        not null default 'half_up',
  price_source   text        not null default 'caller',
  stock_limits   boolean     not null default false,
  default_locale text        not null default 'en',
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  deleted_at     timestamptz,
  constraint tenants_pkey primary key (tenant_id),
  constraint tenants_currency_fkey foreign key (currency) references guerdon.currencies (code),
  -- Raises for a name that is no zone; a wrong one would fail every rule that counts days.
  constraint tenants_time_zone_known check (timezone(time_zone, timestamptz 'epoch') is not null),
  constraint tenants_name_not_blank check (btrim(name) <> ''),
  constraint tenants_rounding_known check (rounding in ('half_up', 'half_even', 'down')),
  constraint tenants_price_source_known check (price_source in ('caller', 'catalogue'))
);
comment on column guerdon.tenants.time_zone is 'IANA name; a day in a rule is a day of this zone.';
comment on column guerdon.tenants.price_source is
  'caller: the unit price a caller sends is the list price. catalogue: it must equal the product''s.';
comment on column guerdon.tenants.stock_limits is
  'Whether a product out of stock is refused; otherwise stock is only a notice in a quote.';

create table guerdon.tenant_directory (
  slug      text not null,
  tenant_id uuid not null,
  constraint tenant_directory_pkey primary key (slug),
  constraint tenant_directory_slug_form check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);
comment on table guerdon.tenant_directory is
  'From a public name to its tenant: the one table with a tenant_id that has no row level security, '
  'because it is read before the tenant is known. It holds nothing but the names.';

create table guerdon.api_keys (
  tenant_id   uuid        not null,
  key_id      text        not null,
  name        text        not null,
  secret_hash bytea       not null,
  scopes      text[]      not null,
  created_at  timestamptz not null default now(),
  expires_at  timestamptz,
  revoked_at  timestamptz,
  constraint api_keys_pkey primary key (tenant_id, key_id),
  constraint api_keys_tenant_fkey foreign key (tenant_id) references guerdon.tenants (tenant_id),
  constraint api_keys_key_id_form check (key_id ~ '^[0-9a-f]{16}$'),
  constraint api_keys_secret_hash_length check (octet_length(secret_hash) = 32),
  constraint api_keys_scopes_not_empty check (cardinality(scopes) > 0)
);
comment on column guerdon.api_keys.secret_hash is
  'HMAC-SHA-256 of the secret under the servers'' pepper; the secret itself is shown once and kept nowhere.';

alter table guerdon.tenants enable row level security;
alter table guerdon.tenants force row level security;
create policy tenants_own on guerdon.tenants
  using (tenant_id = nullif(current_setting('guerdon.tenant_id', true), '')::uuid);

alter table guerdon.api_keys enable row level security;
alter table guerdon.api_keys force row level security;
create policy api_keys_own on guerdon.api_keys
  using (tenant_id = nullif(current_setting('guerdon.tenant_id', true), '')::uuid);

grant select on guerdon.currencies, guerdon.tenant_directory to guerdon_app;
grant select, insert, update on guerdon.tenants, guerdon.api_keys to guerdon_app;
grant insert on guerdon.tenant_directory to guerdon_app;

-- migrate:down

-- The role stays: other databases of the cluster may use it.
drop schema guerdon cascade;
