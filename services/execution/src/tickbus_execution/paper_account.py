"""What a paper account holds: assets, positions in linear derivatives, and what orders tie up.

Spot orders lock what they would pay. Derivatives need margin, of one cross-margin wallet per quote
asset in one-way mode: per instrument, the worth of the position with all bids or all asks filled,
whichever is worse, divided by the leverage (reduce-only orders need none). All of it exact.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import msgspec

from tickbus.events import (
    AdjustmentCause,
    Balance,
    FeeSchedule,
    Fill,
    Funding,
    LiquiditySide,
    OrderType,
    Side,
    SubmitOrder,
    VenuePosition,
)
from tickbus.portfolio import Position, is_derivative
from tickbus_execution.config import PaperConfig
from tickbus_execution.paper_market import PaperMarket, Resting
from tickbus_execution.venue import Payment

ZERO = Decimal(0)
DIGITS = 60
UNFUNDED_NS = 60_000_000_000
"""A position held for so long, and no word of its funding: then there will be none."""
MONEY_STEP = Decimal("1e-8")
"""To which a payment of funding is rounded, as Binance rounds it."""


class PaperAccount:
    """The money of the paper venue; `markets` are those of its venue, as they become known."""

    def __init__(
        self, venue: str, config: PaperConfig, fees: FeeSchedule, markets: dict[str, PaperMarket]
    ) -> None:
        self.free: dict[str, Decimal] = {}
        """By asset; with derivatives, what the wallet holds, whatever is tied up as margin."""
        self._venue = venue
        self._config = config
        self._fees = fees
        self._markets = markets
        self._locked: dict[str, Decimal] = {}
        # In the venue's contracts, valued as if each were one of the base: see `_worth_of`.
        self._positions: dict[str, Position] = {}
        # By position: since when there was no word of its funding; 0 once that was told.
        self._unfunded: dict[str, int] = {}

    def open(self, positions: Mapping[str, Position]) -> None:
        """Begin with the configured balances, unless history left others, and with `positions`."""
        self.free = self.free or dict(self._config.balances)
        self._positions = {name: msgspec.structs.replace(p) for name, p in positions.items()}

    # -- what is there -----------------------------------------------------------------------------

    def assets(self, market: PaperMarket) -> tuple[str, ...]:
        """What a fill in `market` moves: of a derivative, the quote asset alone."""
        assert market.instrument is not None  # nothing is traded before it is known
        base, quote = market.instrument.base, market.instrument.quote
        return (quote,) if is_derivative(market.instrument.instrument_id) else (base, quote)

    def balances(self, assets: Iterable[str] | None = None) -> tuple[Balance, ...]:
        """Of `assets`, or of all."""
        names = sorted(self.free) if assets is None else assets
        return tuple(
            Balance(name, self.free.get(name, ZERO), self._locked.get(name, ZERO)) for name in names
        )

    def positions(self, instrument_id: str = "") -> tuple[VenuePosition, ...]:
        """In the venue's contracts, signed; of one instrument, or of all that are not flat."""
        if instrument_id:
            held = self.held(instrument_id)
            return (VenuePosition(instrument_id, held),) if is_derivative(instrument_id) else ()
        found = (VenuePosition(name, p.quantity) for name, p in self._positions.items())
        return tuple(position for position in found if position.quantity)

    def held(self, instrument_id: str) -> Decimal:
        """The position, long above zero."""
        position = self._positions.get(instrument_id)
        return ZERO if position is None else position.quantity

    def reducible(self, order: SubmitOrder) -> Decimal | None:
        """By how much `order` may trade at most; None for one that may do more than reduce."""
        if not order.reduce_only or not is_derivative(order.instrument_id):
            return None
        return max(ZERO, -self.held(order.instrument_id) * order.side.sign)

    def available(self, asset: str) -> Decimal:
        """What new orders may use of `asset`; profits not realised yet are margin, not cash."""
        with localcontext(prec=DIGITS):
            free = self.free.get(asset, ZERO)
            return min(free, free + self._profit(asset) - self._margin(asset))

    def spare(self, asset: str) -> Decimal:
        """By how much the wallet exceeds what its positions need in order not to be closed."""
        with localcontext(prec=DIGITS):
            worth = sum((abs(self._worth_of(m)) for m in self._derivatives(asset)), ZERO)
            balance = self.free.get(asset, ZERO) + self._profit(asset)
            return balance - worth * self._config.maintenance_margin

    def _derivatives(self, asset: str) -> list[PaperMarket]:
        """Markets of derivatives that settle in `asset`."""
        return [
            market
            for market in self._markets.values()
            if (instrument := market.instrument) is not None
            and instrument.quote == asset
            and is_derivative(instrument.instrument_id)
        ]

    def _worth_of(self, market: PaperMarket) -> Decimal:
        """A position at its mark, signed."""
        assert market.instrument is not None
        held = self.held(market.instrument.instrument_id)
        return held * market.instrument.contract_size * self._mark(market) if held else ZERO

    def _mark(self, market: PaperMarket) -> Decimal:
        mark = market.mark()
        if mark is not None:
            return mark
        assert market.instrument is not None
        position = self._positions.get(market.instrument.instrument_id)
        return (position.avg_entry_price if position is not None else None) or ZERO

    def _profit(self, asset: str) -> Decimal:
        """Not realised yet."""
        found = ZERO
        for market in self._derivatives(asset):
            assert market.instrument is not None
            position = self._positions.get(market.instrument.instrument_id)
            if position is not None and position.quantity:
                profit = position.unrealized_pnl(self._mark(market))
                found += profit * market.instrument.contract_size
        return found

    def _margin(self, asset: str) -> Decimal:
        return sum((self._demand(market) for market in self._derivatives(asset)), ZERO)

    def _demand(self, market: PaperMarket, extra: tuple[Side, Decimal] | None = None) -> Decimal:
        """Initial margin of `market`, with an order more of that side and worth."""
        assert market.instrument is not None
        working = {Side.BUY: ZERO, Side.SELL: ZERO}
        for resting in market.working():
            if not resting.order.reduce_only:
                price = resting.order.price or resting.order.trigger_price or ZERO
                worth = resting.leaves * price * market.instrument.contract_size
                working[resting.order.side] += worth
        if extra is not None:
            working[extra[0]] += extra[1]
        held = self._worth_of(market)
        worst = max(abs(held), abs(held + working[Side.BUY]), abs(held - working[Side.SELL]))
        return worst / self._config.leverage

    # -- orders ------------------------------------------------------------------------------------

    def refusal(self, order: SubmitOrder, market: PaperMarket) -> tuple[str, str]:
        """Why the account cannot carry `order`, as (reason, detail); empty when it can."""
        if not is_derivative(order.instrument_id):
            asset, amount = self.needs(order, market, order.quantity)
            free = self.available(asset)
            if free < amount:
                return "INSUFFICIENT_BALANCE", f"limit={free} {asset} value={amount} {asset}"
            return "", ""
        assert market.instrument is not None
        if market.instrument.inverse:
            return "INVERSE_CONTRACT", "paper orders are for linear contracts only"
        reducible = self.reducible(order)
        if reducible is None:
            return self._margin_refusal(order, market)
        if not reducible:
            held = self.held(order.instrument_id)
            return "REDUCE_ONLY_REJECTED", f"limit=a position to reduce value={held:f} held"
        return "", ""

    def _margin_refusal(self, order: SubmitOrder, market: PaperMarket) -> tuple[str, str]:
        assert market.instrument is not None
        quote, size = market.instrument.quote, market.instrument.contract_size
        with localcontext(prec=DIGITS):
            mark, fee = self._mark(market), self._fees.taker
            price = order.price or order.trigger_price
            if price is not None:
                worth = price * order.quantity
            else:
                taken = market.take(order, dry=True)
                missing = order.quantity - sum((q for _, q in taken), ZERO)
                worth = sum((p * q for p, q in taken), ZERO) + missing * mark
            # Buying above the mark, or selling below it, is a loss from the first moment.
            loss = max(ZERO, (worth - mark * order.quantity) * order.side.sign) if mark else ZERO
            before = self._demand(market)
            more = self._demand(market, (order.side, worth * size)) - before
            needed = more + (loss + worth * fee) * size
            free = self.free.get(quote, ZERO) + self._profit(quote) - self._margin(quote)
            if more > 0 and needed > free:
                limit = f"{max(ZERO, free).quantize(MONEY_STEP)} {quote}"
                detail = f"limit={limit} value={needed.quantize(MONEY_STEP)} {quote}"
                return "INSUFFICIENT_MARGIN", f"{detail} leverage={self._config.leverage}"
        return "", ""

    def needs(
        self, order: SubmitOrder, market: PaperMarket, quantity: Decimal
    ) -> tuple[str, Decimal]:
        """(asset, amount) that a spot order of `quantity` ties up."""
        assert market.instrument is not None
        base, quote = market.instrument.base, market.instrument.quote
        if order.side is Side.SELL:
            return base, quantity
        price = order.price
        if price is None and order.order_type.has_trigger:
            price = order.trigger_price
        if price is not None:
            return quote, price * quantity
        return quote, sum((p * q for p, q in market.take(order, dry=True)), ZERO)

    def lock(self, resting: Resting, market: PaperMarket, sign: int) -> None:
        """Tie up (1) or set free (-1) what is left of an order; derivatives have margin instead."""
        order = resting.order
        if order.order_type is OrderType.MARKET or is_derivative(order.instrument_id):
            return  # a market order takes what is there at once
        asset, amount = self.needs(order, market, resting.leaves)
        self.free[asset] = self.free.get(asset, ZERO) - sign * amount
        self._locked[asset] = self._locked.get(asset, ZERO) + sign * amount

    # -- money that moves --------------------------------------------------------------------------

    def fill(
        self, order: SubmitOrder, market: PaperMarket, price: Decimal, quantity: Decimal,
        liquidity: LiquiditySide, fill_id: str, ts: int,
    ) -> Fill:  # fmt: skip
        """Trade, pay the fee, and what was realised; the caller unlocks before."""
        assert market.instrument is not None
        base, quote = market.instrument.base, market.instrument.quote
        rate = self._fees.maker if liquidity is LiquiditySide.MAKER else self._fees.taker
        if is_derivative(order.instrument_id):
            fee = quantity * price * market.instrument.contract_size * rate
            fill = Fill(fill_id, order.side, price, quantity, fee, quote, liquidity, ts)
            position = self._positions.get(order.instrument_id)
            if position is None:
                position = Position(venue=self._venue, instrument_id=order.instrument_id)
                self._positions[order.instrument_id] = position
            realized = position.apply(fill) * market.instrument.contract_size
            self._move(quote, realized - fee)
            return fill
        buy = order.side is Side.BUY
        fee_asset = base if buy else quote
        fee = (quantity if buy else quantity * price) * rate
        sign = order.side.sign
        self._move(base, sign * quantity)
        self._move(quote, -sign * quantity * price)
        self._move(fee_asset, -fee)
        return Fill(fill_id, order.side, price, quantity, fee, fee_asset, liquidity, ts)

    def fund(self, market: PaperMarket, due: Funding, ts: int) -> Payment | None:
        """Pay, or receive, what a position costs at the funding time of `due`; None when flat."""
        assert market.instrument is not None
        name, quote = market.instrument.instrument_id, market.instrument.quote
        held = self.held(name)
        mark = Decimal(repr(due.mark_price)) if due.mark_price else self._mark(market)
        if not held or not mark:
            return None
        rate = Decimal(repr(due.rate))
        with localcontext(prec=DIGITS):
            worth = held * market.instrument.contract_size * mark
            amount = (-worth * rate).quantize(MONEY_STEP, ROUND_HALF_EVEN)
        if not amount:
            return None
        self._move(quote, amount)
        detail = f"rate={rate:f} mark={mark:f} held={held:f}"
        reference = f"FUNDING_FEE:{name}:{due.ts_next}"
        return Payment(ts, quote, amount, AdjustmentCause.FUNDING, reference, name, detail)

    def lacks_funding(self, market: PaperMarket, now_ns: int) -> bool:
        """Whether a position is held for a while and nobody tells what that costs; true once."""
        assert market.instrument is not None
        name = market.instrument.instrument_id
        since = self._unfunded.setdefault(name, now_ns)
        is_told = market.funding is not None and market.funding.ts_next > 0
        if not since or is_told or now_ns - since <= UNFUNDED_NS:
            return False
        self._unfunded[name] = 0
        return True

    def _move(self, asset: str, amount: Decimal) -> None:
        with localcontext(prec=DIGITS):
            self.free[asset] = self.free.get(asset, ZERO) + amount

    def open_positions(self, asset: str) -> Sequence[tuple[PaperMarket, Decimal]]:
        """Markets that settle in `asset` and what is held there, where that is not nothing."""
        found = []
        for market in self._derivatives(asset):
            assert market.instrument is not None
            held = self.held(market.instrument.instrument_id)
            if held:
                found.append((market, held))
        return found
