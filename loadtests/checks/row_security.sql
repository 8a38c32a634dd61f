-- Row level security is enabled and forced on every table with a tenant but the directory of them.
select format('table %s: enabled %s, forced %s', c.relname, c.relrowsecurity, c.relforcerowsecurity) as detail
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
where n.nspname = 'guerdon' and c.relkind in ('r', 'p') and c.relname <> 'tenant_directory'
  and not (c.relrowsecurity and c.relforcerowsecurity)
  and cardinality($2::uuid[]) >= 0 and $1::uuid is not null
