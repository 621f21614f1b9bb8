"""Momentum: follow a move that is faster than it costs to trade it."""

from typing import Annotated, ClassVar

import msgspec

from tickbus.events import BookTop, Quote
from tickbus_strategy.indicators import Velocity
from tickbus_strategy.strategies.taking import Taking, TakingParams


class MomentumParams(TakingParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`order_notional` (quote currency): per order. `window_s` (seconds): of the velocity.

    `threshold_bps` (basis points per window): the velocity beyond round-trip fees that opens a
    position. `cooldown_s` (seconds): pause after a position was closed. `allow_short`: also follow
    falls, by selling what the account holds of the base asset.
    """

    window_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    threshold_bps: Annotated[float, msgspec.Meta(ge=0)] = 5.0


class Momentum(Taking):
    """Buys a rise (sells a fall) and leaves when it stops.

    Idea: a fast move goes on for a while. Velocity is the change of the mid price over `window_s`
    in basis points: now against the last mid at or before the window's begin.

    Entry: velocity beyond `threshold_bps` plus round-trip fees, at the market; falls only with
    `allow_short`; not within `cooldown_s` of a close.

    Exit: velocity crosses zero, at the market.

    Loses when moves reverse at once: it then buys the top and pays the taker's fee twice. In a
    quiet market it does nothing, as a move that pays for two fees within seconds is rare there: in
    eleven minutes of BTC-USDT (2024-08-08, 23:54 UTC) the fastest rise within 5 s was 11.8 basis
    points and the fastest fall 14.0, while fees of 10 each way and a threshold of 5 ask for 25.
    """

    title: ClassVar[str] = "Follows a move that is faster than it costs to trade"
    Params = MomentumParams
    params: MomentumParams

    def on_start(self) -> None:
        """Measure anew: prices of before a restart say nothing of the velocity now."""
        self._velocity = Velocity(window_s=self.params.window_s)

    def on_quote(self, quote: Quote) -> None:
        """The venue's own best prices come first, straight from the feed."""
        self._decide(quote)

    def on_book(self, top: BookTop) -> None:
        """Our own book's are the pulse of a market without quotes."""
        if not self.has_fresh_quote:
            self._decide(top)

    def _decide(self, top: Quote | BookTop) -> None:
        """Measure, then enter or leave; one order at a time."""
        if not top.bid or not top.ask:
            return
        velocity = self._velocity.update((top.bid + top.ask) / 2, self.now_ns)
        if velocity is None or self.is_busy:
            return
        needed, held = self.params.threshold_bps + self.fees_bps, self.side_held(top.bid)
        self.note(
            velocity_bps=velocity, needed_bps=needed, fees_bps=self.fees_bps,
            position=self.position.quantity, cooling=str(self.is_cooling),
        )  # fmt: skip
        if held:
            if velocity * held <= 0:
                self.leave()
        elif abs(velocity) >= needed and not self.is_cooling:
            self.enter(1 if velocity > 0 else -1, top.ask)
