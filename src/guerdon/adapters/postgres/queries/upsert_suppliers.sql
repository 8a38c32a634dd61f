select * from guerdon.upsert_suppliers_v1($1, $2)
