-- Copies of one offer under new ids. It lists nothing but rules and translations: no targets, no audience.
--
-- Parameters: $1 the tenant; $2 the offer to copy, which has one version and no redemptions; $3 the ids.
-- Each copy's code is its own: the copied one with the id's end in its place.
with copies as (
  select c.offer_id,
         jsonb_build_object('offer_id', c.offer_id) as ids,
         upper('LOAD-' || right(c.offer_id::text, 12)) as code
  from unnest($3::uuid[]) as c (offer_id)
),
offers as (
  insert into guerdon.offers
  select x.*
  from guerdon.offers o
  cross join copies c
  cross join lateral jsonb_populate_record(
    o, c.ids || jsonb_build_object('code', c.code, 'code_normalised', lower(c.code))) as x
  where o.tenant_id = $1 and o.offer_id = $2
  returning offer_id
),
versions as (
  insert into guerdon.offer_versions
  select x.*
  from guerdon.offer_versions o
  cross join copies c
  cross join lateral jsonb_populate_record(o, c.ids || jsonb_build_object(
    'content', o.content || jsonb_build_object(
      'offer', (o.content -> 'offer') || c.ids || jsonb_build_object('code', c.code)))) as x
  where o.tenant_id = $1 and o.offer_id = $2
  returning offer_id
),
rules as (
  insert into guerdon.offer_rules
  select x.*
  from guerdon.offer_rules o
  cross join copies c
  cross join lateral jsonb_populate_record(o, c.ids) as x
  where o.tenant_id = $1 and o.offer_id = $2
  returning offer_id
),
translations as (
  insert into guerdon.offer_translations
  select x.*
  from guerdon.offer_translations o
  cross join copies c
  cross join lateral jsonb_populate_record(o, c.ids) as x
  where o.tenant_id = $1 and o.offer_id = $2
  returning offer_id
)
insert into guerdon.offer_counters
select x.*
from guerdon.offer_counters o
cross join copies c
cross join lateral jsonb_populate_record(o, c.ids) as x
where o.tenant_id = $1 and o.offer_id = $2 and o.last_sequence = 0
