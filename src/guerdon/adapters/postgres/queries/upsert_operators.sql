select * from guerdon.upsert_operators_v1($1, $2)
