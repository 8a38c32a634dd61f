"""Processes: a supervisor, its workers, and the HTTP page that tells how they are."""
