insert into guerdon.tenant_directory (slug, tenant_id)
values ($1, $2)
on conflict on constraint tenant_directory_pkey do nothing
returning true
