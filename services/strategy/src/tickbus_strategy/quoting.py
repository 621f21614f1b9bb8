"""What market makers share: one resting quote a side, bounded inventory, moved only if it pays."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, ClassVar, NamedTuple, TypeVar

import msgspec

from tickbus.events import BookTop, Quote, Side
from tickbus.order import Order, OrderState
from tickbus_strategy.base import BPS, Strategy, require_positive
from tickbus_strategy.desk import SECOND_NS, Market

ZERO = Decimal(0)
DEFAULT_QUOTES = 5
"""So many quotes' worth may be held where `max_position` is not given."""
RESTING = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)
SILENCE = "silence"


class QuotingParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """And what every market maker can be told.

    `order_notional`: quote currency per quote. `max_position`: base units that may be held, what
    its own orders could still add counted; 0 is five quotes' worth at the first price it sees.
    `allow_short`: also offer what it does not hold itself; it then may hold from `-max_position` to
    `max_position`, otherwise from 0, and wants to be in the middle. `min_profit_bps`: of a round
    trip, beyond the maker's fee on both sides; quotes are never nearer to each other than that.
    `tolerance_bps`: a quote this near to the wanted price stays, but at most a quarter of the
    width. `requote_s`: least time between two moves of one side. `cooldown_s`: a side whose order
    was refused rests so long. `silence_s`: quotes are pulled when no prices came for so long (at
    most twice that); 0 is never.
    """

    order_notional: Decimal = Decimal(100)
    max_position: Decimal = ZERO
    allow_short: bool = False
    min_profit_bps: Annotated[float, msgspec.Meta(ge=0, le=1_000)] = 1.0
    tolerance_bps: Annotated[float, msgspec.Meta(ge=0, le=1_000)] = 2.0
    requote_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 1.0
    cooldown_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 1.0
    silence_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 3.0

    def __post_init__(self) -> None:
        require_positive("order_notional", self.order_notional)
        if not (self.max_position.is_finite() and self.max_position >= 0):
            raise ValueError(f"max_position = {self.max_position}: must be 0 or above")


P = TypeVar("P", bound=type[QuotingParams])


def describes_all(params: P) -> P:
    """For a subclass of `QuotingParams`: its docstring tells of the inherited ones, too."""
    params.__doc__ = f"{params.__doc__}\n\n{QuotingParams.__doc__}"
    return params


class QuotingState(msgspec.Struct, kw_only=True):
    """`max_position`: the bound in force, base units; 0 before the first price."""

    max_position: Decimal = ZERO


class Shape(NamedTuple):
    """Where a market maker wants its quotes: around `center` (a price), `width_bps` apart."""

    center: float
    width_bps: float


class QuotingStrategy(Strategy):
    """Keeps one post-only order a side around the price that `shape` names.

    Idea: whoever waits on both sides earns the spread. The base of market makers; a subclass says
    where in `shape`. Entry and exit are the same: each side's order rests until somebody trades
    with it, and a side is quoted only while a fill there keeps the inventory within its bounds.
    Every order is post-only and at least a tick away from the other side's best price. A partial
    fill leaves the rest where it is; a refused order is not repeated for `cooldown_s`. Quotes are
    pulled when the book cannot be trusted, has one side only, or when no prices come.
    """

    Params = QuotingParams
    params: QuotingParams
    State: ClassVar[type[msgspec.Struct]] = QuotingState
    state: QuotingState

    def on_start(self) -> None:
        """Orders of an earlier run are taken over as they stand."""
        self._heard = self._heard_before = 0
        self._ts_moved = {Side.BUY: 0, Side.SELL: 0}
        self._ts_quiet = {Side.BUY: 0, Side.SELL: 0}
        self._untold: dict[str, Order] = {}
        self._best_others: dict[Side, float] = {}
        if self.params.max_position:
            self.state.max_position = self.params.max_position
        if self.params.silence_s:
            self.set_timer(SILENCE, self.params.silence_s)

    def shape(self, mid: float, inventory: float, quotes: float) -> Shape | None:
        """Where to quote now, None for not at all.

        `inventory` is how full it is: -1 at the least it may hold, 0 in the middle, 1 at the most.
        `quotes` is the same distance from the middle, counted in quotes.
        """
        raise NotImplementedError

    # -- told --------------------------------------------------------------------------------------

    def on_quote(self, quote: Quote) -> None:
        """The venue's own best prices come first, straight from the feed."""
        self._decide(quote)

    def on_book(self, top: BookTop) -> None:
        """Our own book's are the pulse of a market without quotes."""
        if not self.has_fresh_quote:
            self._decide(top)

    def on_order(self, order: Order) -> None:
        """A side whose order was refused, as one that would have taken, rests a while."""
        if order.is_terminal and order.missing_quantity:
            self._untold[order.client_order_id] = order
        ended = order.is_terminal and order.state is not OrderState.CANCELED
        if ended and not order.filled_quantity:
            quiet = self.now_ns + int(self.params.cooldown_s * SECOND_NS)
            self._ts_quiet[order.side] = quiet

    def on_unusable(self, market: Market) -> None:
        """Nobody knows the market: whoever does would trade with us at our cost."""
        self.cancel_all()

    def on_timer(self, key: str) -> None:
        """No prices since the last time: pull the quotes."""
        if self._heard == self._heard_before:
            self.cancel_all()
        self._heard_before = self._heard
        self.set_timer(SILENCE, self.params.silence_s)

    # -- deciding ----------------------------------------------------------------------------------

    def _decide(self, top: Quote | BookTop) -> None:
        """Both sides anew from the best prices and from what is held."""
        self._heard += 1
        if not top.bid or not top.ask or top.bid >= top.ask:
            self.note(best_bid=top.bid, best_ask=top.ask, quotes="none: a side is missing")
            self.cancel_all()
            return
        working = self.working_orders
        bid = self._best_of_others(Side.BUY, top.bid, top.bid_size, working)
        ask = self._best_of_others(Side.SELL, top.ask, top.ask_size, working)
        mid = (bid + ask) / 2
        least, most = self._bounds(mid)
        held = self.position.quantity
        middle, half = (least + most) / 2, (most - least) / 2
        away = float(held - middle)
        inventory = max(-1.0, min(1.0, away / float(half)))
        shape = self.shape(mid, inventory, away * mid / float(self.params.order_notional))
        if shape is None:
            self.cancel_all()
            return
        width_bps = max(shape.width_bps, self.floor_bps)
        half_width = shape.center * width_bps / BPS / 2
        tick = float(self.instrument.tick_size)
        bid = min(shape.center - half_width, top.ask - tick)
        ask = max(shape.center + half_width, top.bid + tick)
        self.note(mid=mid, held=held, inventory=inventory, width_bps=width_bps, bid=bid, ask=ask)
        tolerance = mid * min(self.params.tolerance_bps, width_bps / 4) / BPS
        to_buy = most - held - self._untold_of(Side.BUY)
        to_sell = held - least - self._untold_of(Side.SELL)
        self._keep(Side.BUY, bid, to_buy, tolerance, working)
        self._keep(Side.SELL, ask, to_sell, tolerance, working)

    def _best_of_others(
        self, side: Side, best: float, size: float, working: Sequence[Order]
    ) -> float:
        """The best price of a side without our quote: around our own we would chase ourselves.

        Where we stand there alone, the last price that was somebody else's.
        """
        ours = sum(
            float(order.leaves_quantity)
            for order in working
            if order.side is side and order.state in RESTING and float(order.price or 0) == best
        )
        before = self._best_others.get(side, 0.0)
        if ours and size <= ours * (1 + 1e-9) and before:
            return min(before, best) if side is Side.BUY else max(before, best)
        self._best_others[side] = best
        return best

    @property
    def floor_bps(self) -> float:
        """The least distance between bid and ask: both fees and the wanted profit."""
        return float(2 * self.fees.maker) * BPS + self.params.min_profit_bps

    def _untold_of(self, side: Side) -> Decimal:
        """What orders that have ended filled, as their end said, and no fill told us of yet."""
        self._untold = {i: order for i, order in self._untold.items() if order.missing_quantity}
        late = (order.missing_quantity for order in self._untold.values() if order.side is side)
        return sum(late, ZERO)

    def _bounds(self, mid: float) -> tuple[Decimal, Decimal]:
        """The least and the most that may be held, base units."""
        if not self.state.max_position:
            worth = DEFAULT_QUOTES * self.params.order_notional / Decimal(repr(mid))
            self.state.max_position = max(self.instrument.quantity(worth), self.instrument.lot_size)
        most = self.state.max_position
        return (-most if self.params.allow_short else ZERO), most

    def _keep(
        self, side: Side, price: float, room: Decimal, tolerance: float, working: Sequence[Order]
    ) -> None:
        """See to it that `side` has one order at `price`, of no more than `room`, or none."""
        own = [order for order in working if order.side is side]
        quantity = self._quantity(side, price, room)
        if not quantity:
            for order in own:
                self.cancel(order)
            return
        moved = self.now_ns - self._ts_moved[side] >= self.params.requote_s * SECOND_NS
        if self.now_ns < self._ts_quiet[side] or not moved:
            return
        sent: Order | None = None
        if not own:
            send = self.buy if side is Side.BUY else self.sell
            sent = send(quantity, price, post_only=True)
        elif len(own) == 1 and own[0].state in RESTING:
            (order,) = own
            assert order.price is not None  # every quote is a limit order
            near = abs(float(order.price) - price) <= tolerance
            if not (near and order.leaves_quantity <= room):
                # What the old order filled counts towards the new one's quantity.
                whole = order.filled_quantity + quantity
                sent = self.replace(order, price=price, quantity=whole)
        # Else one takes the other's place, or is on its way: nothing to do before it is answered.
        if sent is not None:
            self._ts_moved[side] = self.now_ns

    def _quantity(self, side: Side, price: float, room: Decimal) -> Decimal:
        """One quote's worth in whole lots, within `room`; 0 for less than the venue takes."""
        instrument = self.instrument
        ticks = instrument.price(price, up=side is Side.SELL)
        if ticks <= 0:
            return ZERO
        quantity = instrument.quantity(min(self.params.order_notional / ticks, room))
        too_small = quantity < instrument.quantity_min or quantity <= 0
        if too_small or quantity * ticks < instrument.notional_min:
            return ZERO
        return quantity
