select * from guerdon.read_offers_v1($1, $2, $3, $4)
