"""RedeemBatch: up to REDEEM_BATCH_ITEMS_MAX independent redemptions in one call."""

import asyncio
from collections.abc import Sequence

from guerdon.dataplane.redeem import Redeem
from guerdon.domain.redemption import Granted, RedeemCommand


class RedeemBatch:
    """Each item goes the way of a Redeem; together they share a batch or two."""

    def __init__(self, redeem: Redeem) -> None:
        self._redeem = redeem

    async def __call__(
        self, commands: Sequence[RedeemCommand], seconds: float
    ) -> Sequence[Granted | BaseException]:
        """In the order of the commands, the grant or what Redeem would have raised."""
        return await asyncio.gather(
            *(self._redeem(command, seconds) for command in commands), return_exceptions=True
        )
