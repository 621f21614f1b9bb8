"""What the kill switch needs of a venue, and what both of Binance's share."""

import asyncio
from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Any, NamedTuple, Protocol

from tickbus.kill_api import Exposure, VenueOrder
from tickbus_killswitch.rest import NO_SUCH_ORDER, NotReached, Refused, Rest

ZERO = Decimal(0)
UNFINISHED = frozenset({"NEW", "PARTIALLY_FILLED", "PENDING_NEW"})
SETTLE_LOOKS = 2
SETTLE_PAUSE_S = 0.5


class Venue(Protocol):
    """One account at one venue. Every method raises VenueFailure."""

    rest: Rest
    symbols: tuple[str, ...]
    """Of the configured instruments; orders elsewhere are found by listing."""

    async def working(self) -> list[VenueOrder]:
        """Every order of the account that may still trade."""
        ...

    async def cancel(self, symbol: str) -> list[VenueOrder]:
        """Cancel everything on `symbol`; the orders that the answer names."""
        ...

    async def exposure(self) -> list[Exposure]:
        """What the account holds."""
        ...

    async def closing(self) -> list[dict[str, Any]]:
        """The market orders that would close what is there now; [] when only dust is left."""
        ...

    async def send(self, order: dict[str, Any]) -> None:
        """Send one of them. Raises NotReached when nobody knows whether it was carried out."""
        ...

    async def settle(self, order: dict[str, Any]) -> bool:
        """Whether one without an answer was carried out. Raises NotReached while that is open."""
        ...


class Rules(NamedTuple):
    """A symbol's limits for market orders; 0 is no limit."""

    base: str
    quote: str
    step: Decimal
    quantity_min: Decimal
    quantity_max: Decimal
    notional_min: Decimal

    def parts(self, quantity: Decimal) -> list[Decimal]:
        """`quantity` rounded down to the step, in orders no larger than the venue takes."""
        left = _down(quantity, self.step)
        largest = _down(self.quantity_max, self.step) if self.quantity_max else left
        found = []
        while left > 0 and left >= self.quantity_min and largest > 0:
            found.append(min(left, largest))
            left -= found[-1]
        return found

    def is_dust(self, quantity: Decimal, price: Decimal) -> bool:
        """Whether the venue would take no order for it."""
        tradable = sum(self.parts(quantity), ZERO)
        return tradable <= 0 or tradable * price < self.notional_min


def entries(body: Any, what: str) -> list[Any]:
    """`body` if it is a list. Raises NotReached: an answer of another form is none, never empty."""
    if not isinstance(body, list):
        raise NotReached(f"{what}: a list was expected, not {str(body)[:100]}")
    return body


async def settled(rest: Rest, path: str, order: dict[str, Any]) -> bool:
    """`Venue.settle` by a query at `path`: twice unknown means that it never arrived."""
    query = {"symbol": order["symbol"], "origClientOrderId": order["newClientOrderId"]}
    for look in range(SETTLE_LOOKS):
        if look:
            await asyncio.sleep(SETTLE_PAUSE_S)  # just after placing an order may lag
        try:
            answer = await rest.ask("GET", path, query)
        except Refused as error:
            if error.code != NO_SUCH_ORDER:
                raise
            continue
        if answer.get("status") in UNFINISHED:
            raise NotReached(f"{order['newClientOrderId']} has not ended yet")
        return True
    return False


def _down(value: Decimal, step: Decimal) -> Decimal:
    if step <= 0:
        return value
    return (value / step).to_integral_value(rounding=ROUND_DOWN) * step


def rules_of(body: dict[str, Any]) -> dict[str, Rules]:
    """From `exchangeInfo`, spot's or the futures', by symbol."""
    found = {}
    for entry in body["symbols"]:
        filters = {f["filterType"]: f for f in entry["filters"]}
        lot, market = filters.get("LOT_SIZE", {}), filters.get("MARKET_LOT_SIZE", {})
        notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
        # A market lot of 0 is one without a rule of its own.
        found[str(entry["symbol"])] = Rules(
            base=str(entry["baseAsset"]),
            quote=str(entry["quoteAsset"]),
            step=_first(market.get("stepSize"), lot.get("stepSize")),
            quantity_min=_first(market.get("minQty"), lot.get("minQty")),
            quantity_max=_first(market.get("maxQty"), lot.get("maxQty")),
            notional_min=_first(notional.get("minNotional"), notional.get("notional")),
        )
    return found


def _first(*values: object) -> Decimal:
    numbers = [Decimal(str(value)) for value in values if value is not None]
    return next((number for number in numbers if number > 0), ZERO)


def symbols_of(instruments: Sequence[str]) -> tuple[str, ...]:
    """Binance's symbols of `BTC-USDT` (BTCUSDT), `BTC-USDT-PERP` (BTCUSDT), `BTC-USDT-260327`.

    A pattern names none: what works there is found by listing.
    """
    found: dict[str, None] = {}
    for name in instruments:
        parts = name.split("-")
        if "*" in name or len(parts) < 2:
            continue
        symbol = "".join(parts[:2])
        if len(parts) > 2 and parts[2] != "PERP":
            symbol += f"_{parts[2]}"
        found[symbol] = None
    return tuple(found)
