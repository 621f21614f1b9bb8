"""The edge that keeps the door to the streams for strategies; see `tickbus.bus.door`."""

from tickbus.bus import NatsBus, Subscription
from tickbus.runtime.context import Context


class DoorEdge:
    """Belongs to risk, without which a strategy can do nothing anyway."""

    def __init__(self) -> None:
        self._door: Subscription | None = None

    async def start(self, context: Context) -> None:
        """Answer strategies; on a bus in memory there is no door to keep."""
        if isinstance(context.bus, NatsBus):
            self._door = await context.bus.keep_door()

    async def stop(self) -> None:
        """Answer no more."""
        if self._door is not None:
            await self._door.stop()
