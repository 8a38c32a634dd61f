select * from guerdon.read_api_key_v1($1, $2)
