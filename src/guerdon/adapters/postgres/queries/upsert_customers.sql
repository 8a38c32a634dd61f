select * from guerdon.upsert_customers_v1($1, $2)
