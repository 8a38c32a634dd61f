"""The transport over a socket."""
