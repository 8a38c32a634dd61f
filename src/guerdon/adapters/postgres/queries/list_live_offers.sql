select * from guerdon.list_live_offers_v1($1, $2)
