select * from guerdon.read_tenant_v1($1)
