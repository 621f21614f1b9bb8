"""What the venue itself does on demand: halt a symbol, jolt its price, revoke an API key."""

from typing import Annotated, Literal, TypeVar

import msgspec

from tickbus_exchange.app import Exchange
from tickbus_exchange.hand import WrongHandError

Wish = TypeVar("Wish")
JOLT_MAX_BPS = 5_000


class _Status(msgspec.Struct, forbid_unknown_fields=True):
    symbol: str
    status: Literal["TRADING", "CANCEL_ONLY", "HALT", "BREAK"]


class _Jolt(msgspec.Struct, forbid_unknown_fields=True):
    symbol: str
    bps: Annotated[float, msgspec.Meta(ge=-JOLT_MAX_BPS, le=JOLT_MAX_BPS)]


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    key: str


class House:
    """Acts on the venue. Each raises WrongHandError for a wrong body."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def set_status(self, body: bytes) -> object:
        """Let a symbol trade, or take only cancels. Its crowd pauses with it."""
        wish = _read(body, _Status)
        self._check(wish.symbol)
        self._exchange.venue.statuses[wish.symbol] = wish.status
        return {"symbol": wish.symbol, "status": wish.status}

    def jolt(self, body: bytes) -> object:
        """Move what the crowd thinks a symbol is worth; it requotes at once and trades follow."""
        wish = _read(body, _Jolt)
        self._check(wish.symbol)
        if self._exchange.config.intensity <= 0:
            raise WrongHandError("the book stands still (--intensity 0), so no price can move")
        fair = self._exchange.crowd.corners[wish.symbol].fair
        fair.displacement_bps += wish.bps
        return {"symbol": wish.symbol, "bps": wish.bps}

    def revoke(self, body: bytes) -> object:
        """Forget an API key until the next start; streams that it opened end."""
        name = _read(body, _Key).key
        if not self._exchange.keys.revoke(name):
            raise WrongHandError(f"key {name!r} is none of this exchange")
        self._exchange.users.revoke(name, self._exchange.clock_ms())
        return {"key": name}

    def _check(self, symbol: str) -> None:
        rules = self._exchange.venue.rules
        if symbol not in rules:
            raise WrongHandError(f"symbol {symbol!r} is none of {', '.join(rules)}")


def _read(body: bytes, kind: type[Wish]) -> Wish:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise WrongHandError(str(error)) from error
