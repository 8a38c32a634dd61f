"""What Guerdon is measured against, in the same run and behind the same kind of gRPC server."""
