"""Tasks of `./dev` that are longer than a few lines."""
