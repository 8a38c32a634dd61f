"""Generated from the protos by `./dev gen`; the path is the proto package."""
