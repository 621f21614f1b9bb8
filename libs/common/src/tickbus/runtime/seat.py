"""Of several processes of one service one works, and the others stand by until it is gone."""

import math
from typing import TYPE_CHECKING

from tickbus.runtime.lease import TTL_S, Lease

if TYPE_CHECKING:
    from tickbus.runtime.context import Context


class Seat:
    """The one place at which the service of this name works; a lease on the bus.

    Without it a second process would take the first one's place in the stream, the first would
    end, be started again and do the same to the second, for ever.
    """

    def __init__(self, name: str, ttl_s: float = TTL_S) -> None:
        self._lease = Lease(name, ttl_s, stands_by=True)

    @property
    def stands_by(self) -> bool:
        """Whether another process does the work; to wait is then all that there is to do."""
        return self._lease.is_standing_by

    async def take(self, context: "Context") -> None:
        """Return once the place is ours; whoever stands by waits without limit.

        It is renewed from then on; that another process has it is a failure of this one.
        """
        await self._lease.start(context)
        await self._lease.until_held(math.inf)

    async def leave(self) -> None:
        """Give it back, so that who stands by need not wait."""
        await self._lease.stop()
