"""What callers ask of offers: one RPC, one file. Domain and ports only."""
