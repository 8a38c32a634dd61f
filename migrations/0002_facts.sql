-- Facts: what other systems tell of customers, products and transactions.
-- Facts arrive in any order (a transaction before its customer), so none of them refers to another by a
-- foreign key. Rules read the rollups (customer_stats, customer_activity_daily), never the history.

-- migrate:up

create table guerdon.customers (
  tenant_id      uuid        not null,
  customer_id    uuid        not null,
  external_ref   text,
  status         text        not null default 'active',
  created_at     timestamptz,
  last_active_at timestamptz,
  received_at    timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  deleted_at     timestamptz,
  constraint customers_pkey primary key (tenant_id, customer_id),
  constraint customers_status_known check (status in ('active', 'blocked'))
);
comment on column guerdon.customers.created_at is
  'When the account was opened, as its owner system says; null is a missing fact and fails new_user.';

create table guerdon.customer_roles (
  tenant_id   uuid not null,
  customer_id uuid not null,
  role_name   text not null,
  constraint customer_roles_pkey primary key (tenant_id, customer_id, role_name),
  constraint customer_roles_role_name_not_blank check (btrim(role_name) <> '')
);

create table guerdon.transactions (
  tenant_id      uuid        not null,
  transaction_id text        not null,
  customer_id    uuid        not null,
  kind           text        not null,
  status         text        not null,
  operator_id    uuid,
  product_id     uuid,
  amount_minor   bigint      not null,
  currency       text        not null,
  occurred_at    timestamptz not null,
  day            date        not null,
  received_at    timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  constraint transactions_pkey primary key (tenant_id, transaction_id),
  constraint transactions_currency_fkey foreign key (currency) references guerdon.currencies (code),
  constraint transactions_kind_known check (kind in ('topup', 'purchase', 'other')),
  constraint transactions_status_known check (status in ('pending', 'succeeded', 'failed', 'reversed')),
  constraint transactions_amount_not_negative check (amount_minor >= 0)
);
comment on column guerdon.transactions.transaction_id is 'The caller''s own id: pushing it again changes nothing.';
comment on column guerdon.transactions.day is 'Day of occurred_at in the tenant''s zone, as counted in the rollups.';

-- operator_id is all zeros in the row that sums every operator and none, so that one primary key serves
-- both kinds of rule and no query has to add operators up.
create table guerdon.customer_stats (
  tenant_id    uuid   not null,
  customer_id  uuid   not null,
  operator_id  uuid   not null,
  topups       bigint not null default 0,
  transactions bigint not null default 0,
  spent_minor  bigint not null default 0,
  constraint customer_stats_pkey primary key (tenant_id, customer_id, operator_id),
  constraint customer_stats_not_negative check (topups >= 0 and transactions >= topups and spent_minor >= 0)
) with (fillfactor = 70);
comment on table guerdon.customer_stats is
  'Succeeded transactions of a customer, ever; spent_minor counts only those in the tenant''s currency.';

create table guerdon.customer_activity_daily (
  tenant_id    uuid    not null,
  customer_id  uuid    not null,
  operator_id  uuid    not null,
  day          date    not null,
  topups       integer not null default 0,
  transactions integer not null default 0,
  spent_minor  bigint  not null default 0,
  reported     boolean not null default false,
  constraint customer_activity_daily_pkey primary key (tenant_id, customer_id, operator_id, day),
  constraint customer_activity_daily_not_negative
    check (topups >= 0 and transactions >= topups and spent_minor >= 0)
) with (fillfactor = 70);
comment on column guerdon.customer_activity_daily.reported is
  'Activity pushed as a fact of its own; only in the row of all operators.';

create table guerdon.products (
  tenant_id        uuid        not null,
  product_id       uuid        not null,
  sku              text,
  kind             text        not null,
  operator_id      uuid,
  category_id      uuid,
  names            jsonb       not null default '{}',
  unit_name        text,
  unit_quantity    numeric,
  list_price_minor bigint,
  cost_minor       bigint,
  currency         text,
  stock_quantity   bigint,
  active           boolean     not null default true,
  facts_version    bigint      not null default 1,
  received_at      timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  deleted_at       timestamptz,
  constraint products_pkey primary key (tenant_id, product_id),
  constraint products_currency_fkey foreign key (currency) references guerdon.currencies (code),
  constraint products_kind_known check (kind in ('operator', 'retail', 'service')),
  constraint products_prices_not_negative check (list_price_minor >= 0 and cost_minor >= 0),
  constraint products_price_has_currency check (list_price_minor is null or currency is not null),
  constraint products_names_is_object check (jsonb_typeof(names) = 'object')
);
comment on column guerdon.products.facts_version is
  'Grows with every change of the product or of its supplier links; a redemption priced by another is stale.';

create table guerdon.operators (
  tenant_id   uuid        not null,
  operator_id uuid        not null,
  name        text        not null,
  received_at timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  deleted_at  timestamptz,
  constraint operators_pkey primary key (tenant_id, operator_id)
);

create table guerdon.suppliers (
  tenant_id   uuid        not null,
  supplier_id uuid        not null,
  name        text        not null,
  received_at timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  deleted_at  timestamptz,
  constraint suppliers_pkey primary key (tenant_id, supplier_id)
);

create table guerdon.supplier_products (
  tenant_id           uuid        not null,
  supplier_product_id uuid        not null,
  supplier_id         uuid        not null,
  product_id          uuid        not null,
  supplier_sku        text,
  cost_minor          bigint,
  currency            text,
  received_at         timestamptz not null default now(),
  updated_at          timestamptz not null default now(),
  deleted_at          timestamptz,
  constraint supplier_products_pkey primary key (tenant_id, supplier_product_id),
  constraint supplier_products_currency_fkey foreign key (currency) references guerdon.currencies (code),
  constraint supplier_products_cost_not_negative check (cost_minor >= 0)
);
create index supplier_products_by_product on guerdon.supplier_products (product_id);
create index supplier_products_by_supplier on guerdon.supplier_products (supplier_id);

do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'customers', 'customer_roles', 'transactions', 'customer_stats', 'customer_activity_daily',
    'products', 'operators', 'suppliers', 'supplier_products']
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
-- Roles are a set that is replaced as a whole; nothing else of a customer is ever deleted.
grant delete on guerdon.customer_roles to guerdon_app;

-- migrate:down

drop table
  guerdon.supplier_products, guerdon.suppliers, guerdon.operators, guerdon.products,
  guerdon.customer_activity_daily, guerdon.customer_stats, guerdon.transactions,
  guerdon.customer_roles, guerdon.customers;
