-- Each redemption names a version of its offer that was redeemable then, in its currency and for its target.
select format('request %s: not allowed by version %s of offer %s',
              r.request_id, r.offer_version, r.offer_id) as detail
from guerdon.redemptions r
left join guerdon.offer_versions v
  on v.tenant_id = r.tenant_id and v.offer_id = r.offer_id and v.version = r.offer_version
cross join lateral (
  select v.content -> 'offer' as offer
) as said
where r.tenant_id = $1 and r.offer_id = any ($2::uuid[])
  and not coalesce(
    said.offer ->> 'status' in ('scheduled', 'active')
    and said.offer ->> 'currency' = r.currency
    and r.redeemed_at >= coalesce((said.offer ->> 'starts_at')::timestamptz, '-infinity')
    and r.redeemed_at < coalesce((said.offer ->> 'ends_at')::timestamptz, 'infinity')
    and (r.target_id is null or exists (
      select from jsonb_array_elements(said.offer -> 'targets') as t
      where r.target_id::text in (
        t ->> 'product_id', t ->> 'supplier_product_id', t ->> 'supplier_id'))),
    false)
