select * from guerdon.record_activity_v1($1, $2, $3)
