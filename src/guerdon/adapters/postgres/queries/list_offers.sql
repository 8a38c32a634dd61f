select o.offer_id
from guerdon.offers o
where o.tenant_id = $1 and o.deleted_at is null
  and ($2::text is null or o.status = $2)
  and ($3::timestamptz is null or (o.created_at, o.offer_id) < ($3, $4::uuid))
order by o.created_at desc, o.offer_id desc
limit $5
