"""Pure business meaning: no IO, no clock, no async, no logging."""
