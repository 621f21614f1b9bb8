"""How much the venue still takes: orders of the account, request weight of the address.

Limits and counts are the venue's own, from its answers; in between, what was sent since is added.
A new order asks nobody. What one process heard last is shared in the background with the others of
the account, see `shared` and `adopt`.
"""

from collections.abc import Iterable

import msgspec

from tickbus_execution.wire import RateLimit

ORDERS, WEIGHT = "ORDERS", "REQUEST_WEIGHT"
RESERVE = 0.1
"""The part of each limit, one at least, that is left to orders that reduce a position."""
WEIGHT_RESERVE = 0.05
"""The part of the weight that orders leave to cancels: refused requests cost weight."""


class Window(msgspec.Struct, array_like=True):
    """One limit in the interval number `index` since 1970; `told_ms` is when the venue said so."""

    kind: str
    interval_s: int
    limit: int
    index: int = 0
    count: int = 0
    told_ms: int = 0


class VenueRate:
    """The limits of one account at one address; times are the venue's, in ms."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, int], Window] = {}
        self._in_flight = 0

    def take(self, now_ms: int, *, reduces: bool, dry: bool = False) -> str:
        """Count one more order and return ""; or return which limit is used up, and count none.

        With `dry` none is counted at all.
        """
        for window in self._windows.values():
            used, allowed = self._used(window, now_ms), window.limit
            if window.kind == WEIGHT:
                allowed -= int(window.limit * WEIGHT_RESERVE)
            elif not reduces:
                allowed -= max(1, int(window.limit * RESERVE))
            if window.limit and used >= allowed:
                what = "orders" if window.kind == ORDERS else "request weight"
                return (
                    f"limit={allowed} of {window.limit} {what} per {window.interval_s} s,"
                    f" value={used}"
                )
        self._in_flight += not dry
        return ""

    def answered(self, *, counted: bool) -> None:
        """An order that was taken has its answer; `counted`: the venue has it, as far as we know.

        Where the answer itself said how many there were, `learn` comes after this.
        """
        self._in_flight = max(0, self._in_flight - 1)
        for window in self._windows.values():
            if counted and window.kind == ORDERS:
                window.count += 1

    def learn(self, entries: Iterable[RateLimit], now_ms: int) -> None:
        """Take the venue's word for limits and counts."""
        for entry in entries:
            if entry.rate_limit_type not in (ORDERS, WEIGHT):
                continue
            key = (entry.rate_limit_type, entry.interval_s)
            window = self._windows.setdefault(key, Window(*key, entry.limit))
            window.limit = entry.limit or window.limit
            if entry.count is not None:
                window.index = now_ms // (window.interval_s * 1000)
                window.count, window.told_ms = entry.count, now_ms

    def weight(self, now_ms: int) -> tuple[int, int]:
        """(limit, count in this minute) of request weight per minute; zeros when unknown."""
        window = self._windows.get((WEIGHT, 60))
        return (window.limit, self._used(window, now_ms)) if window is not None else (0, 0)

    def shared(self) -> tuple[Window, ...]:
        """What the other processes of this account may want to know."""
        known = (w for w in self._windows.values() if w.kind == ORDERS and w.told_ms)
        return tuple(msgspec.structs.replace(w) for w in known)

    def adopt(self, windows: Iterable[Window]) -> None:
        """Take what another process heard, where it is newer."""
        for theirs in windows:
            ours = self._windows.get((theirs.kind, theirs.interval_s))
            if ours is None or theirs.told_ms > ours.told_ms:
                limit = theirs.limit or (ours.limit if ours is not None else 0)
                heard = msgspec.structs.replace(theirs, limit=limit)
                self._windows[theirs.kind, theirs.interval_s] = heard

    def _used(self, window: Window, now_ms: int) -> int:
        index = now_ms // (window.interval_s * 1000)
        if index != window.index:
            window.index, window.count = index, 0
        return window.count + (self._in_flight if window.kind == ORDERS else 0)
