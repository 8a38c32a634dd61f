"""How large a proof is, and what it tells of itself."""

import logging
import os

FULL = os.environ.get("GUERDON_PROOF") == "full"

log = logging.getLogger("proofs")


def tell(**figures: object) -> None:
    """What a proof measured, for those who run it with --log-cli-level=INFO."""
    log.info(", ".join(f"{name} {value}" for name, value in figures.items()))


def sized(full: int, quick: int) -> int:
    """The size of a proof: in full with GUERDON_PROOF=full, else as the suite has time for."""
    return full if FULL else quick
