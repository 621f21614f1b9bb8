"""Liquidation: go with a cascade of forced orders, and leave when it is spent."""

from typing import Annotated, ClassVar

import msgspec

from tickbus.events import Liquidation as ForcedOrder
from tickbus.events import Side, Trade
from tickbus_strategy.indicators import Sma, Velocity
from tickbus_strategy.strategies.taking import SECOND_NS, Taking, TakingParams


class LiquidationParams(TakingParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`order_notional` (quote currency): per order. `ticks` (trades): of the velocity.

    `price_threshold` (basis points over `ticks` trades): velocity beyond it is a cascade's.
    `volume_multiplier`: how many times the rolling average the recent average must be.
    `recent_ticks`, `average_ticks` (trades): of the recent and of the rolling average of volume.
    `confirm_s` (seconds): how old a forced order may be that confirms a cascade; 0 asks for none.
    `cooldown_s` (seconds): pause after a position was closed. `allow_short`: also go with falls, by
    selling what the account holds of the base asset, or short where the venue has positions.
    """

    allow_short: bool = True
    ticks: Annotated[int, msgspec.Meta(ge=1)] = 50
    price_threshold: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    volume_multiplier: Annotated[float, msgspec.Meta(gt=1)] = 2.0
    recent_ticks: Annotated[int, msgspec.Meta(ge=1)] = 10
    average_ticks: Annotated[int, msgspec.Meta(ge=2)] = 500
    confirm_s: Annotated[float, msgspec.Meta(ge=0)] = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recent_ticks >= self.average_ticks:
            raise ValueError(
                f"recent_ticks = {self.recent_ticks}: must be below average_ticks ="
                f" {self.average_ticks}"
            )


class LiquidationState(msgspec.Struct):
    """`venue_tells`: whether the venue has ever published a forced order in this instrument."""

    venue_tells: bool = False


class Liquidation(Taking):
    """Goes with a fast move on heavy volume, up or down, and leaves when the volume is gone.

    Idea: positions that the venue closes by force are bought and sold at any price; that moves the
    price to where the next are forced. It shows as a fast move on trades that are larger than
    usual. Velocity is the change of the traded price over the last `ticks` trades. The recent
    average is that of the sizes of the last `recent_ticks` trades, the rolling average that of the
    last `average_ticks`.

    Entry: velocity beyond `price_threshold`, the recent average beyond `volume_multiplier` times
    the rolling average, and, at a venue that publishes liquidations, a forced order in the
    direction of the move within `confirm_s`. At the market, with the move; not within `cooldown_s`.
    Venues publish a sample: Binance the largest per symbol and second. So what is published is
    never added up, it only tells that there was one. Until the venue has shown its first (spot
    never does), price and volume decide alone.

    Exit: the recent average is back at the rolling average. At the market.

    Loses when the move is over as soon as it is seen, for a large trade by one who was not forced,
    and where a move of `price_threshold` does not go on for at least another round trip of fees.
    """

    title: ClassVar[str] = "Goes with cascades of liquidations until their volume is spent"
    Params = LiquidationParams
    params: LiquidationParams
    State = LiquidationState
    state: LiquidationState

    def on_start(self) -> None:
        """Measure anew; a position of an earlier run waits until the averages are there."""
        p = self.params
        self._velocity = Velocity(count=p.ticks)
        self._recent, self._rolling = Sma(p.recent_ticks), Sma(p.average_ticks)
        self._ts_forced = {Side.BUY: 0, Side.SELL: 0}

    def on_liquidation(self, liquidation: ForcedOrder) -> None:
        """Remember that there was one; how much of it there was nobody tells."""
        self.state.venue_tells = True
        self._ts_forced[liquidation.side] = self.now_ns

    def on_trade(self, trade: Trade) -> None:
        """Measure, then enter or leave; one order at a time."""
        velocity = self._velocity.update(trade.price)
        recent, rolling = self._recent.update(trade.size), self._rolling.update(trade.size)
        if velocity is None or recent is None or rolling is None or self.is_busy:
            return
        side = Side.BUY if velocity > 0 else Side.SELL
        self.note(
            velocity_bps=velocity, recent_volume=recent, rolling_volume=rolling,
            confirmed=str(self._is_confirmed(side)), fees_bps=self.fees_bps,
            position=self.position.quantity, cooling=str(self.is_cooling),
        )  # fmt: skip
        if self.side_held(trade.price):
            if recent <= rolling:
                self.leave()
            return
        fast = abs(velocity) > self.params.price_threshold
        heavy = recent > self.params.volume_multiplier * rolling
        if fast and heavy and self._is_confirmed(side) and not self.is_cooling:
            self.enter(side.sign, trade.price)

    def _is_confirmed(self, side: Side) -> bool:
        if not self.params.confirm_s or not self.state.venue_tells:
            return True
        return self.now_ns - self._ts_forced[side] <= self.params.confirm_s * SECOND_NS
