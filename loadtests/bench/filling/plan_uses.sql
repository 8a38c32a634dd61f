-- What a fill is going to write, an offer's use a row, in the order of time: one use a second until now.
--
-- Parameters: $1 the hot offer and $2 the others, none with an effect yet; $3 customers; $4 uses of the
-- hot offer; $5 uses of the others together, in turn. Each offer's customers take turns too.
create unlogged table filling.uses as
with hot as (
  select $1::uuid as offer_id, n as sequence, 0 as shift, n / $4::float8 as moment
  from generate_series(1, $4::integer) as n
),
others as (
  select ($2::uuid[])[(n - 1) % cardinality($2) + 1] as offer_id, (n - 1) / cardinality($2) + 1 as sequence,
         (n - 1) % cardinality($2) * 31 as shift, n / $5::float8 as moment
  from generate_series(1, $5::integer) as n
)
select
  u.offer_id,
  u.sequence,
  ($3::uuid[])[(u.sequence - 1 + u.shift) % cardinality($3) + 1] as customer_id,
  (u.sequence - 1) / cardinality($3) + 1 as customer_use,
  t.redeemed_at,
  -- A UUID of version 7: it begins with the time.
  (lpad(to_hex((extract(epoch from t.redeemed_at) * 1000)::bigint), 12, '0')
    || '7' || substr(k.random, 1, 3) || '8' || substr(k.random, 4, 15))::uuid as request_id
from (select * from hot union all select * from others) as u
cross join lateral (select md5(random()::text || u.sequence) as random) as k
cross join lateral (select now() - ((1 - u.moment) * ($4 + $5) * interval '1 second') as redeemed_at) as t
order by u.moment
