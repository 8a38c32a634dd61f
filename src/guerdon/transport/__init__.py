"""gRPC: translates between protos and planes, and decides nothing."""
