select * from guerdon.read_redemptions_v1($1, $2)
