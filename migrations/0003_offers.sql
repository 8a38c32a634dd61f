-- Offers: what they give, to whom, for what, how often. Configuration is versioned: every change raises
-- offers.version, keeps what the version said in offer_versions, and holds the lock of the offer's counter
-- while it does so (see functions/redeem_v1.sql for the order of locks).

-- migrate:up

create table guerdon.offers (
  tenant_id          uuid        not null,
  offer_id           uuid        not null,
  version            integer     not null,
  kind               text        not null default 'product',
  status             text        not null default 'draft',
  code               text,
  code_normalised    text,
  discount_type      text        not null,
  discount_bps       integer,
  discount_minor     bigint,
  offer_quantity     integer     not null default 1,
  max_discount_minor bigint,
  currency           text        not null,
  priority           integer     not null default 0,
  auto_apply         boolean     not null default false,
  service_type       text        not null default 'both',
  product_scope      text        not null default 'all',
  audience_mode      text        not null default 'everyone',
  eligibility_logic  text        not null default 'all',
  total_limit        bigint,
  per_customer_limit integer,
  starts_at          timestamptz,
  ends_at            timestamptz,
  internal_note      text,
  created_by         text        not null,
  created_at         timestamptz not null,
  updated_at         timestamptz not null,
  deleted_at         timestamptz,
  constraint offers_pkey primary key (tenant_id, offer_id),
  constraint offers_tenant_fkey foreign key (tenant_id) references guerdon.tenants (tenant_id),
  constraint offers_currency_fkey foreign key (currency) references guerdon.currencies (code),
  constraint offers_version_positive check (version >= 1),
  constraint offers_kind_known check (kind in ('product', 'bogo')),
  constraint offers_status_known
    check (status in ('draft', 'scheduled', 'active', 'paused', 'expired', 'cancelled')),
  constraint offers_code_with_normalised check ((code is null) = (code_normalised is null)),
  constraint offers_discount_type_known
    check (discount_type in ('percentage', 'fixed_amount', 'fixed_price', 'buy_x_get_y')),
  constraint offers_bogo_is_buy_x_get_y check ((kind = 'bogo') = (discount_type = 'buy_x_get_y')),
  constraint offers_discount_bps_matches_type
    check ((discount_type = 'percentage') = (discount_bps is not null)),
  constraint offers_discount_minor_matches_type
    check ((discount_type in ('fixed_amount', 'fixed_price')) = (discount_minor is not null)),
  constraint offers_discount_bps_in_range check (discount_bps between 0 and 10000),
  constraint offers_discount_minor_not_negative check (discount_minor >= 0),
  constraint offers_offer_quantity_positive check (offer_quantity >= 1),
  constraint offers_max_discount_not_negative check (max_discount_minor >= 0),
  constraint offers_service_type_known check (service_type in ('delivery', 'pickup', 'both')),
  constraint offers_product_scope_known
    check (product_scope in ('all', 'operator_products', 'supplier_products', 'listed')),
  constraint offers_audience_mode_known check (audience_mode in ('everyone', 'listed')),
  constraint offers_eligibility_logic_known check (eligibility_logic in ('all', 'any')),
  constraint offers_total_limit_positive check (total_limit >= 1),
  constraint offers_per_customer_limit_positive check (per_customer_limit >= 1),
  constraint offers_window_in_order check (starts_at < ends_at)
);
comment on column guerdon.offers.offer_quantity is
  'Pieces in one group: a fixed price or a percentage holds for whole groups, the rest is at list price.';
comment on column guerdon.offers.ends_at is 'The window is half open: starts_at <= now < ends_at.';
create unique index offers_live_code on guerdon.offers (tenant_id, code_normalised)
  where deleted_at is null and code_normalised is not null;
-- Read by list_live_offers_v1, whose every condition it contains: a tenant's past offers cost it nothing.
create index offers_live on guerdon.offers (tenant_id, offer_id) include (version, updated_at)
  where status in ('scheduled', 'active') and deleted_at is null;

create table guerdon.offer_versions (
  tenant_id  uuid        not null,
  offer_id   uuid        not null,
  version    integer     not null,
  content    jsonb       not null,
  changed_by text        not null,
  changed_at timestamptz not null,
  constraint offer_versions_pkey primary key (tenant_id, offer_id, version),
  constraint offer_versions_offer_fkey
    foreign key (tenant_id, offer_id) references guerdon.offers (tenant_id, offer_id)
);
comment on column guerdon.offer_versions.content is 'The whole offer as this version said it.';

create table guerdon.offer_translations (
  tenant_id   uuid not null,
  offer_id    uuid not null,
  locale      text not null,
  title       text not null,
  description text not null default '',
  constraint offer_translations_pkey primary key (tenant_id, offer_id, locale),
  constraint offer_translations_offer_fkey
    foreign key (tenant_id, offer_id) references guerdon.offers (tenant_id, offer_id),
  constraint offer_translations_title_not_blank check (btrim(title) <> '')
);

create table guerdon.offer_products (
  tenant_id                 uuid    not null,
  offer_id                  uuid    not null,
  target_id                 uuid    not null,
  product_id                uuid,
  supplier_product_id       uuid,
  supplier_id               uuid,
  fixed_price_minor         bigint,
  discount_bps              integer,
  offer_quantity            integer not null default 1,
  max_quantity_per_purchase integer,
  max_uses                  bigint,
  constraint offer_products_pkey primary key (tenant_id, offer_id, target_id),
  constraint offer_products_offer_fkey
    foreign key (tenant_id, offer_id) references guerdon.offers (tenant_id, offer_id),
  constraint offer_products_one_target check (num_nonnulls(product_id, supplier_product_id, supplier_id) = 1),
  constraint offer_products_target_id_is_the_target
    check (target_id = coalesce(product_id, supplier_product_id, supplier_id)),
  constraint offer_products_one_override check (num_nonnulls(fixed_price_minor, discount_bps) <= 1),
  constraint offer_products_fixed_price_not_negative check (fixed_price_minor >= 0),
  constraint offer_products_discount_bps_in_range check (discount_bps between 0 and 10000),
  constraint offer_products_offer_quantity_positive check (offer_quantity >= 1),
  constraint offer_products_max_quantity_reachable check (max_quantity_per_purchase >= offer_quantity),
  constraint offer_products_max_uses_positive check (max_uses >= 1)
);

create table guerdon.offer_bogo_rules (
  tenant_id        uuid    not null,
  offer_id         uuid    not null,
  buy_quantity     integer not null,
  get_quantity     integer not null,
  get_discount_bps integer not null default 10000,
  groups_max       integer,
  constraint offer_bogo_rules_pkey primary key (tenant_id, offer_id),
  constraint offer_bogo_rules_offer_fkey
    foreign key (tenant_id, offer_id) references guerdon.offers (tenant_id, offer_id),
  constraint offer_bogo_rules_buy_quantity_positive check (buy_quantity >= 1),
  constraint offer_bogo_rules_get_quantity_positive check (get_quantity >= 1),
  constraint offer_bogo_rules_get_discount_in_range check (get_discount_bps between 0 and 10000),
  constraint offer_bogo_rules_groups_max_positive check (groups_max >= 1)
);

create table guerdon.offer_allowed_customers (
  tenant_id   uuid        not null,
  offer_id    uuid        not null,
  customer_id uuid        not null,
  created_at  timestamptz not null default now(),
  constraint offer_allowed_customers_pkey primary key (tenant_id, offer_id, customer_id),
  constraint offer_allowed_customers_offer_fkey
    foreign key (tenant_id, offer_id) references guerdon.offers (tenant_id, offer_id)
);

create table guerdon.offer_allowed_roles (
  tenant_id  uuid        not null,
  offer_id   uuid        not null,
  role_name  text        not null,
  created_at timestamptz not null default now(),
  constraint offer_allowed_roles_pkey primary key (tenant_id, offer_id, role_name),
  constraint offer_allowed_roles_offer_fkey
    foreign key (tenant_id, offer_id) references guerdon.offers (tenant_id, offer_id),
  constraint offer_allowed_roles_role_name_not_blank check (btrim(role_name) <> '')
);

create table guerdon.offer_rules (
  tenant_id   uuid     not null,
  offer_id    uuid     not null,
  rule_number smallint not null,
  rule_key    text     not null,
  rule_type   text     not null,
  params      jsonb    not null,
  description text     not null default '',
  constraint offer_rules_pkey primary key (tenant_id, offer_id, rule_number),
  constraint offer_rules_key_unique unique (tenant_id, offer_id, rule_key),
  constraint offer_rules_offer_fkey
    foreign key (tenant_id, offer_id) references guerdon.offers (tenant_id, offer_id),
  constraint offer_rules_params_is_object check (jsonb_typeof(params) = 'object')
);
comment on column guerdon.offer_rules.params is
  'As the rule catalogue keeps them: amounts in minor units of the tenant''s currency (amount_minor).';

-- The counter rows are narrow and rewritten for every batch: a low fillfactor keeps the rewrites on the page.
create table guerdon.offer_counters (
  tenant_id     uuid     not null,
  offer_id      uuid     not null,
  slot          smallint not null,
  used          bigint   not null default 0,
  reserved      bigint   not null default 0,
  spent_minor   bigint   not null default 0,
  last_sequence bigint   not null default 0,
  version       integer  not null,
  constraint offer_counters_pkey primary key (tenant_id, offer_id, slot),
  constraint offer_counters_offer_fkey
    foreign key (tenant_id, offer_id) references guerdon.offers (tenant_id, offer_id),
  constraint offer_counters_not_negative
    check (used >= 0 and reserved >= 0 and spent_minor >= 0 and last_sequence >= 0)
) with (fillfactor = 20);
comment on table guerdon.offer_counters is
  'One row of an offer''s uses, created with the offer. Its row lock is the offer''s lock: redemptions, '
  'revokes and edits all take it. A limit may be lowered below what is used, so no CHECK compares them.';
comment on column guerdon.offer_counters.last_sequence is
  'Number of the last effect on this slot, gap-free: a redemption, a revoke or an edit each takes the next.';
comment on column guerdon.offer_counters.version is 'The offer''s version in force, set by edits under the lock.';
comment on column guerdon.offer_counters.spent_minor is 'Sum of the discounts of live redemptions.';

create table guerdon.offer_product_counters (
  tenant_id uuid   not null,
  offer_id  uuid   not null,
  target_id uuid   not null,
  used      bigint not null default 0,
  constraint offer_product_counters_pkey primary key (tenant_id, offer_id, target_id),
  constraint offer_product_counters_not_negative check (used >= 0)
) with (fillfactor = 20);

create table guerdon.offer_customer_usage (
  tenant_id   uuid    not null,
  offer_id    uuid    not null,
  customer_id uuid    not null,
  used        integer not null default 0,
  last_use    integer not null default 0,
  constraint offer_customer_usage_pkey primary key (tenant_id, offer_id, customer_id),
  constraint offer_customer_usage_not_negative check (used >= 0 and last_use >= used)
) with (fillfactor = 70);
comment on column guerdon.offer_customer_usage.last_use is
  'Number of the customer''s last use of the offer, revoked ones included; it never goes down.';

do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'offers', 'offer_versions', 'offer_translations', 'offer_products', 'offer_bogo_rules',
    'offer_allowed_customers', 'offer_allowed_roles', 'offer_rules',
    'offer_counters', 'offer_product_counters', 'offer_customer_usage']
  loop
    execute format('alter table guerdon.%I enable row level security', v_table);
    execute format('alter table guerdon.%I force row level security', v_table);
    execute format(
      'create policy %I on guerdon.%I '
      'using (tenant_id = nullif(current_setting(''guerdon.tenant_id'', true), '''')::uuid)',
      v_table || '_own', v_table);
    execute format('grant select, insert, update on guerdon.%I to guerdon_app', v_table);
  end loop;
end
$$;
-- What an offer lists is replaced as a whole by an edit; the version before keeps what it said.
grant delete on
  guerdon.offer_translations, guerdon.offer_products, guerdon.offer_bogo_rules,
  guerdon.offer_allowed_customers, guerdon.offer_allowed_roles, guerdon.offer_rules
to guerdon_app;
revoke update on guerdon.offer_versions from guerdon_app;

-- migrate:down

drop table
  guerdon.offer_customer_usage, guerdon.offer_product_counters, guerdon.offer_counters,
  guerdon.offer_rules, guerdon.offer_allowed_roles, guerdon.offer_allowed_customers,
  guerdon.offer_bogo_rules, guerdon.offer_products, guerdon.offer_translations,
  guerdon.offer_versions, guerdon.offers;
