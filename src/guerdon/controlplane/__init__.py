"""What admins and other systems write: one resource, one file. Domain and ports only."""
