"""Whether the venue would take a new order now, after all that it refused before."""

from collections.abc import Callable
from typing import NamedTuple

from tickbus.events import SubmitOrder
from tickbus_execution.rate import VenueRate
from tickbus_execution.refusals import Action, Refusal
from tickbus_execution.wire import Answer

PAUSE_S = 10.0
PAUSE_S_MAX = 3 * 86_400.0
"""The longest ban that the venue knows."""
OVERLOAD_S = (1.0, 30.0)
STOP_ORDERS_S = 10.0
KEY_PAUSE_S = 60.0
CONNECTS_PAUSE_S = 60.0


class No(NamedTuple):
    """Why an order is not sent."""

    reason: str
    detail: str


class Guard:
    """What the venue's refusals leave open; `steady_s` never goes back, `now_ms` is the venue's."""

    def __init__(
        self, rate: VenueRate, steady_s: Callable[[], float], now_ms: Callable[[], int]
    ) -> None:
        self.rate = rate
        self.disabled: dict[str, str] = {}
        """Symbols that the venue said not to trade, with its words."""
        self._steady_s = steady_s
        self._now_ms = now_ms
        self._silent_until = 0.0
        self._banned_until = 0.0
        self._overloaded_until = 0.0
        self._overload_s = 0.0
        self._orders_from = 0.0
        self._connect_from = 0.0
        self._halted: No | None = None
        self._halted_by_mode = False

    def standing(self) -> No | None:
        """Why no order at all may be sent now; None when some may."""
        if self._halted is not None:
            return self._halted
        left = self.silent_s
        if left:
            return No("VENUE_PAUSED", f"limit=0s value={left:.1f}s left of the venue's silence")
        return None

    def refusal(self, order: SubmitOrder, symbol: str, *, dry: bool = False) -> No | None:
        """Why `order` must not be sent now; None: it may, and then counts, but for `dry`."""
        standing = self.standing()
        if standing is not None:
            return standing
        now = self._steady_s()
        if now < self._orders_from:
            left = self._orders_from - now
            detail = f"limit=0s value={left:.1f}s until the venue takes new orders"
            return No("VENUE_RATE_LIMIT", detail)
        if now < self._overloaded_until and not order.reduce_only:
            left = self._overloaded_until - now
            detail = f"limit=0s value={left:.1f}s until more is sent than what reduces"
            return No("VENUE_OVERLOADED", detail)
        if symbol in self.disabled:
            return No("SYMBOL_NOT_TRADING", f"{symbol}: {self.disabled[symbol]}")
        used_up = self.rate.take(self._now_ms(), reduces=order.reduce_only, dry=dry)
        return No("VENUE_RATE_LIMIT", used_up) if used_up else None

    def weight(self) -> tuple[int, int]:
        """(limit, count in this minute) of request weight; zeros when unknown."""
        return self.rate.weight(self._now_ms())

    @property
    def silent_s(self) -> float:
        """For how much longer the venue wants silence; cancels go out all the same."""
        return max(0.0, self._silent_until - self._steady_s())

    @property
    def banned_s(self) -> float:
        """For how much longer nothing at all gets through, not even a cancel."""
        return max(0.0, self._banned_until - self._steady_s())

    @property
    def connect_in_s(self) -> float:
        """How long to wait before the next connection."""
        return max(0.0, self.silent_s, self._connect_from - self._steady_s())

    @property
    def halted(self) -> str:
        """Why there is no trading until somebody or something changes; "" when there is."""
        return self._halted.detail if self._halted is not None else ""

    def opened(self, is_one_way: bool = False) -> None:
        """The venue took our key and told us all of the account: what the key halted goes on.

        What the position mode halted goes on where the venue says that it is one-way now.
        """
        if is_one_way or not self._halted_by_mode:
            self._halted, self._halted_by_mode = None, False

    def be_silent(self, seconds: float) -> None:
        """Nothing but cancels for `seconds`."""
        self._silent_until = max(self._silent_until, self._steady_s() + seconds)

    def note(self, refusal: Refusal, answer: Answer, symbol: str = "") -> None:
        """Draw the consequences of a refusal."""
        now = self._steady_s()
        match refusal.action:
            case Action.PAUSE:
                self.be_silent(self._wait_s(answer, PAUSE_S))
                if answer.status == 418:
                    self._banned_until = max(self._banned_until, self._silent_until)
            case Action.STOP_ORDERS:
                wait_s = self._wait_s(answer, STOP_ORDERS_S)
                self._orders_from = max(self._orders_from, now + wait_s)
            case Action.OVERLOAD:
                first, cap = OVERLOAD_S
                again = now < self._overloaded_until + self._overload_s
                self._overload_s = min(cap, self._overload_s * 2) if again else first
                self._overloaded_until = now + self._overload_s
            case Action.HALT | Action.HALT_FOR_MODE:
                self._halted = No(refusal.reason, refusal.detail)
                self._halted_by_mode |= refusal.action is Action.HALT_FOR_MODE
                self._connect_from = now + KEY_PAUSE_S
            case Action.BACK_OFF_CONNECTS:
                self._connect_from = now + self._wait_s(answer, CONNECTS_PAUSE_S)
            case Action.DISABLE_SYMBOL if symbol:
                self.disabled[symbol] = refusal.detail
            case _:
                pass

    def _wait_s(self, answer: Answer, default: float) -> float:
        error = answer.error or {}
        data = error.get("data")
        until_ms = data.get("retryAfter") if isinstance(data, dict) else None
        if isinstance(until_ms, int):
            return min(PAUSE_S_MAX, max(1.0, (until_ms - self._now_ms()) / 1000))
        after_s = error.get("retryAfterS")
        return min(PAUSE_S_MAX, max(1.0, after_s)) if isinstance(after_s, int) else default
