select * from guerdon.read_products_v1($1, $2)
