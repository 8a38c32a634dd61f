"""Redis: hints and copies, never the truth."""
