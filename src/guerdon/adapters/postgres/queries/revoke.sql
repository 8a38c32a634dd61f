select * from guerdon.revoke_v1($1, $2, $3)
