"""Venues that have just refused an order: for a while the next ones go elsewhere first."""

from tickbus.events import OrderRejected, Side

SECOND_NS = 1_000_000_000


class Refusals:
    """What venues refused lately, by instrument and side: a balance may lack on one side alone.

    Not in a snapshot: after a restart every venue is tried anew.
    """

    def __init__(self, avoid_s: float) -> None:
        self._avoid_s = avoid_s
        self._lately: dict[tuple[str, Side], dict[str, tuple[int, str]]] = {}

    def note(self, event: OrderRejected, side: Side) -> None:
        """Take in that a venue, or execution before it, refused an order."""
        until = event.ts_recv + int(self._avoid_s * SECOND_NS)
        why = f"{event.reason} {event.detail}".strip()
        self._lately.setdefault((event.instrument_id, side), {})[event.venue] = (until, why)

    def at(self, instrument_id: str, side: Side, now_ns: int) -> dict[str, str]:
        """Venues to keep away from, and what they said."""
        lately = self._lately.get((instrument_id, side), {})
        return {venue: why for venue, (until, why) in lately.items() if now_ns < until}
