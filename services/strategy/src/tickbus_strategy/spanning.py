"""A strategy over several markets at once: each method names the market it is about."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tickbus.events import BookTop, FeeSchedule, Instrument, Quote, Side
from tickbus.order import Order
from tickbus.portfolio import Position
from tickbus_strategy.base import Pnl, StrategyBase, known
from tickbus_strategy.desk import Market


class SpanningStrategy(StrategyBase):
    """The base of a strategy whose one instance trades every instrument at every venue it is given.

    It is told everything as a `Strategy` is; the event says where. It is told of a market only
    while that one's book can be trusted; `market.usable` says it of the others.
    """

    @property
    def markets(self) -> tuple[Market, ...]:
        """All of them, instrument by instrument, in the order of the configuration."""
        return self._markets

    def market(self, venue: str, instrument_id: str) -> Market:
        """One of them. Raises KeyError."""
        for market in self._markets:
            if (market.venue, market.instrument_id) == (venue, instrument_id):
                return market
        raise KeyError(f"{instrument_id} at {venue} is none of this strategy's markets")

    def instrument_of(self, market: Market) -> Instrument:
        """Tick size, lot size and limits of what is traded there."""
        return known(market)

    def top_of(self, market: Market) -> BookTop | None:
        """Best bid and ask of our own book there; None before the first."""
        return market.top

    def quote_of(self, market: Market) -> Quote | None:
        """The venue's latest quote there; None before the first."""
        return market.quote

    def fees_of(self, market: Market) -> FeeSchedule:
        """What the venue takes, as fractions of notional."""
        return self._desk.fees_at(market.venue)

    def position_in(self, market: Market) -> Position:
        """What this strategy holds there, through its own fills."""
        return self._desk.portfolio.position(market.venue, market.instrument_id)

    def closable_in(self, market: Market) -> Decimal:
        """The position there in whole lots, signed; 0 for dust too small to sell."""
        return self._closable(market)

    def working_in(self, market: Market) -> Sequence[Order]:
        """Our orders there that may trade or await risk's verdict, oldest first."""
        return self._desk.living(market.venue, market.instrument_id)

    def is_settled_in(self, market: Market) -> bool:
        """Whether no order of ours can change the position there; see `Strategy.is_settled`."""
        return self._desk.is_settled(market)

    def pnl_in(self, market: Market) -> Pnl:
        """What this strategy made there, at the middle of the market."""
        return self._pnl(market)

    def buy(
        self, market: Market, quantity: float | Decimal, price: float | Decimal | None = None,
        **terms: Any,
    ) -> Order | None:  # fmt: skip
        """Wish to buy there; see `_submit`."""
        return self._submit(market, Side.BUY, quantity, price, **terms)

    def sell(
        self, market: Market, quantity: float | Decimal, price: float | Decimal | None = None,
        **terms: Any,
    ) -> Order | None:  # fmt: skip
        """Wish to sell there; see `_submit`."""
        return self._submit(market, Side.SELL, quantity, price, **terms)

    def flatten(self, market: Market) -> Order | None:
        """Take back what works there, and close the position at the market."""
        return self._flatten(market)
