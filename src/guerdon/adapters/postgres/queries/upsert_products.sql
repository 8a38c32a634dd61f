select * from guerdon.upsert_products_v1($1, $2)
