insert into guerdon.tenants
  (tenant_id, name, currency, time_zone, rounding, price_source, stock_limits, default_locale)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict on constraint tenants_pkey do nothing
returning true
