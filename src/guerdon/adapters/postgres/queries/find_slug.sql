select d.tenant_id from guerdon.tenant_directory d where d.slug = $1
