"""Arbitrage between venues: buy where it is cheap and sell where it is dear, at once."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, ClassVar, NamedTuple

import msgspec

from tickbus.events import BookTop, Quote, Side, TimeInForce
from tickbus.order import Order, OrderState
from tickbus_strategy.base import BPS, require_positive
from tickbus_strategy.desk import SECOND_NS, Market
from tickbus_strategy.spanning import SpanningStrategy

ZERO = Decimal(0)
DEFAULT_ORDERS = 5
"""So many orders' worth may be held at a venue where `max_position` is not given."""
REFUSED = (OrderState.DENIED, OrderState.REJECTED)


class ArbitrageParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the arbitrage between venues can be told.

    `order_notional`: quote currency per leg, at most. `min_profit_bps`: of a pair, beyond what both
    venues take. `max_leg_loss_bps`: how much worse than meant a leg that did not fill may be made
    up for. `max_position`: base units that it may hold at each venue, or owe there (sell of what
    the account holds), more than it began with; 0 is five orders' worth at the first price it sees.
    `cooldown_s`: pause after a pair. `refused_s`: pause after a pair of which a leg was refused.
    `price_age_max_s`: older prices are not traded on.
    """

    order_notional: Decimal = Decimal(200)
    min_profit_bps: Annotated[float, msgspec.Meta(ge=0, le=1_000)] = 2.0
    max_leg_loss_bps: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 20.0
    max_position: Decimal = ZERO
    cooldown_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 1.0
    refused_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 30.0
    price_age_max_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 2.0

    def __post_init__(self) -> None:
        require_positive("order_notional", self.order_notional)
        if not (self.max_position.is_finite() and self.max_position >= 0):
            raise ValueError(f"max_position = {self.max_position}: must be 0 or above")


class Pair(msgspec.Struct, kw_only=True):
    """Of one instrument: the bound in force, and the prices that the last pair was meant to get."""

    max_position: Decimal = ZERO
    buy_price: float = 0.0
    sell_price: float = 0.0


class ArbitrageState(msgspec.Struct, kw_only=True):
    """By instrument."""

    pairs: dict[str, Pair] = {}


class Best(NamedTuple):
    """The best prices of a market that may be traded on."""

    market: Market
    top: Quote | BookTop


class Chance(NamedTuple):
    """Buying at `buy`'s ask and selling at `sell`'s bid gains so much beyond both fees."""

    gain_bps: float
    buy: Best
    sell: Best


class Arbitrage(SpanningStrategy):
    """Trades one instrument at several venues against each other.

    Idea: the same thing costs the same everywhere, but for moments. Entry: when a bid at one venue
    is above an ask at another by more than both takers' fees and `min_profit_bps`, an IOC order
    takes each, of a size that stands at both. Exit: there is none, a pair is a profit when both
    legs fill; the inventories it leaves, long here and short there, are turned back by chances the
    other way, or stop it at `max_position`. Each account has to hold what it is to pay with: quote
    to buy, base to sell.

    Leg risk: the two orders travel apart, and one may find its price gone. Then the strategy holds
    what it never wanted, and the market decides what that costs. It makes the missing leg up at
    once, wherever that is best, at a price up to `max_leg_loss_bps` worse than meant. Is the market
    further away than that, it waits, holding the position, and trades nothing else of that
    instrument until the price comes back or somebody flattens it.

    Loses when legs are missed more often than pairs gain, and by what transfers between the
    accounts cost: it makes none.
    """

    title: ClassVar[str] = "buys at the cheap venue and sells at the dear one at once"
    Params = ArbitrageParams
    params: ArbitrageParams
    State: ClassVar[type[msgspec.Struct]] = ArbitrageState
    state: ArbitrageState

    def on_start(self) -> None:
        """Raises ValueError for markets that cannot be traded against each other."""
        self._groups: dict[str, list[Market]] = {}
        for market in self.markets:
            self._groups.setdefault(market.instrument_id, []).append(market)
        self._ts_quiet = dict.fromkeys(self._groups, 0)
        self._ts_hedge = dict.fromkeys(self._groups, 0)
        self._ts_ended = dict.fromkeys(self._groups, 0)
        self._untold: dict[str, Order] = {}
        for name, group in self._groups.items():
            self._check(name, group)
            pair = self.state.pairs.setdefault(name, Pair())
            if self.params.max_position:
                pair.max_position = self.params.max_position

    def _check(self, name: str, group: Sequence[Market]) -> None:
        if len(group) < 2:
            raise ValueError(f"{name} is at {group[0].venue} alone: give two or more in `venues`")
        counted = {
            (self.instrument_of(market).contract_size, self.instrument_of(market).inverse)
            for market in group
        }
        if len(counted) > 1 or any(inverse for _, inverse in counted):
            venues = ", ".join(market.venue for market in group)
            raise ValueError(f"{name} is not counted in the same units at {venues}")

    # -- told --------------------------------------------------------------------------------------

    def on_quote(self, quote: Quote) -> None:
        """A best price moved."""
        self._decide(quote.instrument_id)

    def on_book(self, top: BookTop) -> None:
        """So it did by our own book."""
        self._decide(top.instrument_id)

    def on_order(self, order: Order) -> None:
        """Once both legs are over, see at once whether one is missing."""
        name = order.instrument_id
        if not order.is_terminal:
            return
        if order.missing_quantity:
            self._untold[order.client_order_id] = order
        pause_s = self.params.refused_s if order.state in REFUSED else self.params.cooldown_s
        quiet = self.now_ns + int(pause_s * SECOND_NS)
        self._ts_quiet[name] = max(self._ts_quiet[name], quiet)
        self._ts_ended[name] = self.now_ns
        if order.state in REFUSED:
            self._ts_hedge[name] = self.now_ns + SECOND_NS
        self._decide(name)

    # -- deciding ----------------------------------------------------------------------------------

    def _decide(self, name: str) -> None:
        group, pair = self._groups[name], self.state.pairs[name]
        if any(self.working_in(market) for market in group):
            return
        known = [best for market in group if (best := self._best(market)) is not None]
        if not known:
            return
        if not pair.max_position:
            pair.max_position = self._default_bound(known[0])
        net = sum((self.position_in(market).quantity for market in group), self._untold_of(name))
        if abs(net) >= self._least(known):
            self._hedge(net, known, pair)
            return
        # What stood at a price that we have just taken is ours: wait until the venue says it anew.
        anew = [best for best in known if best.top.ts_recv > self._ts_ended[name]]
        chance = self._chance(anew, pair)
        if chance is None:
            return
        buy, sell = chance.buy, chance.sell
        self.note(
            net=net, gain_bps=chance.gain_bps, needed_bps=self.params.min_profit_bps,
            buy_at=buy.market.venue, ask=buy.top.ask, ask_size=buy.top.ask_size,
            sell_at=sell.market.venue, bid=sell.top.bid, bid_size=sell.top.bid_size,
        )  # fmt: skip
        if chance.gain_bps >= self.params.min_profit_bps and self.now_ns >= self._ts_quiet[name]:
            self._take(chance, net, pair)

    def _untold_of(self, name: str) -> Decimal:
        """What orders that have ended filled, as their end said, and no fill told us of yet."""
        self._untold = {i: order for i, order in self._untold.items() if order.missing_quantity}
        late = (o for o in self._untold.values() if o.instrument_id == name)
        return sum((order.side.sign * order.missing_quantity for order in late), ZERO)

    def _best(self, market: Market) -> Best | None:
        """The newer of quote and book; None when it cannot be trusted, is old, or has one side."""
        if not market.usable:
            return None
        tops = [top for top in (market.quote, market.top) if top is not None]
        if not tops:
            return None
        top = max(tops, key=lambda each: each.ts_recv)
        old = self.now_ns - top.ts_recv > self.params.price_age_max_s * SECOND_NS
        return None if old or not top.bid or not top.ask else Best(market, top)

    def _chance(self, known: Sequence[Best], pair: Pair) -> Chance | None:
        """The best pair of venues that inventory allows; None when there are no two."""
        best: Chance | None = None
        for buy in known:
            for sell in known:
                if buy is sell or not (self._room(buy, Side.BUY, pair) > 0):
                    continue
                if not self._room(sell, Side.SELL, pair) > 0:
                    continue
                cost = buy.top.ask * (1 + float(self.fees_of(buy.market).taker))
                gets = sell.top.bid * (1 - float(self.fees_of(sell.market).taker))
                gain_bps = (gets - cost) / buy.top.ask * BPS
                if best is None or gain_bps > best.gain_bps:
                    best = Chance(gain_bps, buy, sell)
        return best

    def _room(self, best: Best, side: Side, pair: Pair) -> Decimal:
        """How much may still be traded there before `max_position`."""
        return pair.max_position - self.position_in(best.market).quantity * side.sign

    def _take(self, chance: Chance, net: Decimal, pair: Pair) -> None:
        """Both legs, as much as stands at both and bounds allow."""
        buy, sell = chance.buy, chance.sell
        ask, bid = buy.top.ask, sell.top.bid
        quantity = min(
            self.params.order_notional / Decimal(repr(ask)),
            Decimal(repr(buy.top.ask_size)),
            Decimal(repr(sell.top.bid_size)),
            self._room(buy, Side.BUY, pair),
            self._room(sell, Side.SELL, pair),
        )
        for best in (buy, sell):
            quantity = self.instrument_of(best.market).quantity(quantity)
        # Fees in base and odd lots leave a little too much or too little: one leg is less by it.
        odd = min(self.instrument_of(best.market).quantity(abs(net)) for best in (buy, sell))
        to_buy = quantity - (odd if net > 0 else ZERO)
        to_sell = quantity - (odd if net < 0 else ZERO)
        legs = ((buy, Side.BUY, to_buy, ask), (sell, Side.SELL, to_sell, bid))
        if all(self._may_send(*leg) for leg in legs):
            pair.buy_price, pair.sell_price = ask, bid
            self.buy(buy.market, to_buy, ask, time_in_force=TimeInForce.IOC)
            self.sell(sell.market, to_sell, bid, time_in_force=TimeInForce.IOC)

    def _may_send(self, best: Best, side: Side, quantity: Decimal, price: float) -> bool:
        """Whether a leg would be sent: without the other it would be worse than none."""
        may = self._desk.may_wish(best.market, side, quantity, reduce_only=False)
        return may and self._is_tradable(best, quantity, price)

    def _hedge(self, net: Decimal, known: Sequence[Best], pair: Pair) -> None:
        """A leg is missing: make it up where that is best, if that is near enough to what it meant.

        A position that no pair of ours explains is closed at about the best price.
        """
        side = Side.SELL if net > 0 else Side.BUY
        places = [
            best
            for best in known
            if self._is_tradable(best, min(abs(net), self._room(best, side, pair)), best.top.bid)
        ]
        if not places:
            return
        place = min(places, key=lambda best: side.sign * self._price(best, side))
        price = place.top.bid if side is Side.SELL else place.top.ask
        meant = (pair.sell_price if side is Side.SELL else pair.buy_price) or price
        limit = meant * (1 + side.sign * self.params.max_leg_loss_bps / BPS)
        near = price <= limit if side is Side.BUY else price >= limit
        self.note(
            net=net, missing_leg=str(side), meant=meant, limit=limit, at=place.market.venue,
            price=price, hedge="now" if near else "waits: the market is beyond the limit",
        )  # fmt: skip
        if not near or self.now_ns < self._ts_hedge[place.market.instrument_id]:
            return
        quantity = min(abs(net), self._room(place, side, pair))
        send = self.buy if side is Side.BUY else self.sell
        send(place.market, quantity, limit, time_in_force=TimeInForce.IOC)

    def _price(self, best: Best, side: Side) -> float:
        """What a unit really costs or brings there, the taker's fee in."""
        fee = float(self.fees_of(best.market).taker)
        return best.top.ask * (1 + fee) if side is Side.BUY else best.top.bid * (1 - fee)

    def _is_tradable(self, best: Best, quantity: Decimal, price: float) -> bool:
        instrument = self.instrument_of(best.market)
        least = max(instrument.quantity_min, instrument.lot_size)
        return quantity >= least and quantity * Decimal(repr(price)) >= instrument.notional_min

    def _least(self, known: Sequence[Best]) -> Decimal:
        """The least of the position that could be traded away, base units; the rest is dust."""
        least = []
        for best in known:
            instrument = self.instrument_of(best.market)
            worth = instrument.notional_min / Decimal(repr(best.top.bid))
            least.append(max(instrument.quantity_min, instrument.lot_size, worth))
        return min(least)

    def _default_bound(self, best: Best) -> Decimal:
        instrument = self.instrument_of(best.market)
        worth = DEFAULT_ORDERS * self.params.order_notional / Decimal(repr(best.top.ask))
        return max(instrument.quantity(worth), instrument.lot_size)
