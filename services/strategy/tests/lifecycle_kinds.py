"""Strategies for tests of control."""

from decimal import Decimal
from typing import Annotated

import msgspec

from tickbus.events import BookTop, Fill, Quote
from tickbus.order import Order
from tickbus_strategy import SpanningStrategy, Strategy


class RestingParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`size`: base per order. `most`: orders that rest at once."""

    size: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    most: int = 3


class Memory(msgspec.Struct, kw_only=True):
    """How many quotes it was told of, in all its lives."""

    quotes: int = 0


class Resting(Strategy):
    """Rests a bid at each quote."""

    Params = RestingParams
    State = Memory
    params: RestingParams
    state: Memory

    def on_start(self) -> None:
        self.calls = ["start"]
        self.quotes = 0
        self.fills: list[Decimal] = []

    def on_stop(self) -> None:
        self.calls.append("stop")
        self.buy(1, 50)

    def on_quote(self, quote: Quote) -> None:
        self.quotes += 1
        self.state.quotes += 1
        if len(self.working_orders) < self.params.most:
            self.buy(self.params.size, quote.bid)

    def on_fill(self, order: Order, fill: Fill) -> None:
        self.fills.append(fill.quantity)

    def on_timer(self, key: str) -> None:
        self.calls.append(f"timer {key}")

    def on_book(self, top: BookTop) -> None:
        self.set_timer("t", 5)


class Taking(Resting):
    """Takes the ask at each quote."""

    def on_quote(self, quote: Quote) -> None:
        self.buy(self.params.size)


class Tunable(Resting):
    """Takes other parameters in."""

    def on_params(self, old: RestingParams) -> None:
        self.calls.append(f"from {old.size:g} to {self.params.size:g}")


class BreaksAtQuote(Resting):
    """Raises at a quote above 200."""

    def on_quote(self, quote: Quote) -> None:
        super().on_quote(quote)
        if quote.bid > 200:
            raise ZeroDivisionError("too high")


class BreaksAtStop(Resting):
    """Raises when it is stopped."""

    def on_stop(self) -> None:
        raise ZeroDivisionError("not now")


class BreaksAtStart(Resting):
    """Raises when it is started."""

    def on_start(self) -> None:
        raise ZeroDivisionError("not yet")


class Holding(Resting):
    """Orders once, as soon as orders can leave."""

    def on_ready(self) -> None:
        self.calls.append("ready")
        self.buy(self.params.size, 99)

    def on_quote(self, quote: Quote) -> None:
        self.quotes += 1


class Hasty(Holding):
    """Orders when it starts already."""

    def on_start(self) -> None:
        super().on_start()
        self.calls.append("none" if self.buy(1, 99) is None else "order")


class BreaksWhenReady(Resting):
    """Raises as soon as orders can leave."""

    def on_ready(self) -> None:
        raise ZeroDivisionError("not so soon")


class BreaksWhenMade(Strategy):
    """Cannot be made."""

    def __init__(self, *arguments: object) -> None:
        raise ZeroDivisionError("never")


class Spanning(SpanningStrategy):
    """Buys wherever a quote comes from."""

    def on_quote(self, quote: Quote) -> None:
        self.buy(self.market(quote.venue, quote.instrument_id), 1, quote.bid)


class UneasyParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose check raises what nobody expects."""

    size: int = 1

    def __post_init__(self) -> None:
        Decimal(1) / self.size


class Uneasy(Strategy):
    """Never mind what it does."""

    Params = UneasyParams
