-- Newest first by the offer's own sequence. $2 offer, $3 order or null, $4 sequence of the last row seen
-- or null, $5 rows.
select
  r.request_id, r.position, r.offer_id, r.offer_version, r.slot, r.sequence, r.customer_id,
  r.customer_use, l.product_id, l.quantity, l.unit_price_minor, r.list_minor, r.discount_minor,
  r.paid_minor, r.currency, r.order_ref, r.redeemed_at, r.revoked_at, r.revoke_reason
from guerdon.redemptions r
join guerdon.redemption_lines l
  on l.tenant_id = r.tenant_id and l.request_id = r.request_id and l.position = r.position
  and l.line_number = 0
where r.tenant_id = $1 and r.offer_id = $2 and r.slot = 0
  and r.sequence < coalesce($4::bigint, 9223372036854775807)
  and ($3::text is null or r.order_ref = $3)
order by r.sequence desc
limit $5
