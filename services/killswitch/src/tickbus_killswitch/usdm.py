"""Binance's USD-M futures, by REST: plain and conditional orders, and positions.

The plain cancel-all leaves conditional orders alive: they live in the venue's algo service, which
has a list and a cancel-all of its own.
"""

import asyncio
from decimal import Decimal
from typing import Any

from tickbus.kill_api import Exposure, OrderKind, VenueOrder
from tickbus_killswitch.rest import UNKNOWN_ORDER, NotReached, Refused, Rest
from tickbus_killswitch.venue import Rules, entries, rules_of, settled, symbols_of

TIME_PATH = "/fapi/v1/time"


class Usdm:
    """A USD-M account; every position of it may be closed."""

    def __init__(self, rest: Rest, instruments: tuple[str, ...], tag: str) -> None:
        self.rest = rest
        self.symbols = symbols_of(instruments)
        self._tag = tag
        self._number = 0
        self._rules: dict[str, Rules] = {}

    async def working(self) -> list[VenueOrder]:
        """Every plain and every conditional order of the whole account."""
        plain, conditional = await asyncio.gather(
            self.rest.ask("GET", "/fapi/v1/openOrders"),
            self.rest.ask("GET", "/fapi/v1/openAlgoOrders"),
        )
        plain = entries(plain, "GET /fapi/v1/openOrders")
        conditional = entries(conditional, "GET /fapi/v1/openAlgoOrders")
        try:
            return [
                *(_order(e, "orderId", "clientOrderId", OrderKind.PLAIN) for e in plain),
                *(_order(e, "algoId", "clientAlgoId", OrderKind.CONDITIONAL) for e in conditional),
            ]
        except (KeyError, TypeError) as error:
            raise NotReached(f"the lists of open orders cannot be read: {error!r}") from error

    async def cancel(self, symbol: str) -> list[VenueOrder]:
        """Cancel every plain and every conditional order on `symbol`."""
        answers = await asyncio.gather(
            self._delete("/fapi/v1/allOpenOrders", symbol),
            self._delete("/fapi/v1/algoOpenOrders", symbol),
            return_exceptions=True,
        )
        # Both are sent whatever becomes of the other.
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return []

    async def _delete(self, path: str, symbol: str) -> None:
        try:
            await self.rest.ask("DELETE", path, {"symbol": symbol})
        except Refused as error:
            if error.code != UNKNOWN_ORDER:
                raise

    async def exposure(self) -> list[Exposure]:
        """Every open position, at its notional by the mark price."""
        return [
            Exposure(
                name=f"{p['symbol']} {p['positionSide']}".removesuffix(" BOTH"),
                quantity=Decimal(str(p["positionAmt"])),
                value=abs(Decimal(str(p["notional"]))),
                currency=str(p["marginAsset"]),
                ours=True,
            )
            for p in await self._positions()
        ]

    async def closing(self) -> list[dict[str, Any]]:
        """A market order against each position, which cannot turn it over."""
        positions = await self._positions()
        if positions and not self._rules:
            info = await self.rest.ask("GET", "/fapi/v1/exchangeInfo", signed=False)
            try:
                self._rules = rules_of(info)
            except (KeyError, TypeError, ArithmeticError) as error:
                raise NotReached(f"GET /fapi/v1/exchangeInfo: cannot be read: {error!r}") from error
        orders = []
        for position in positions:
            amount = Decimal(str(position["positionAmt"]))
            side = position["positionSide"]
            guard = {"reduceOnly": "true"} if side == "BOTH" else {"positionSide": side}
            rules = self._rules.get(position["symbol"])
            for quantity in [abs(amount)] if rules is None else rules.parts(abs(amount)):
                self._number += 1
                orders.append(
                    {
                        "symbol": position["symbol"],
                        "side": "SELL" if amount > 0 else "BUY",
                        "type": "MARKET",
                        "quantity": f"{quantity:f}",
                        **guard,
                        "newClientOrderId": f"kill-{self._tag}-{self._number}",
                    }
                )
        return orders

    async def send(self, order: dict[str, Any]) -> None:
        """Buy or sell back at the market."""
        await self.rest.ask("POST", "/fapi/v1/order", order)

    async def settle(self, order: dict[str, Any]) -> bool:
        """Whether a closing order without an answer was carried out."""
        return await settled(self.rest, "/fapi/v1/order", order)

    async def _positions(self) -> list[dict[str, Any]]:
        body = await self.rest.ask("GET", "/fapi/v3/positionRisk")
        try:
            found = [
                {
                    "symbol": str(p["symbol"]),
                    "positionSide": str(p.get("positionSide", "BOTH")),
                    "positionAmt": Decimal(str(p["positionAmt"])),
                    "notional": Decimal(str(p["notional"])),
                    "marginAsset": str(p.get("marginAsset", "USDT")),
                }
                for p in entries(body, "GET /fapi/v3/positionRisk")
            ]
        except (KeyError, TypeError, ArithmeticError) as error:
            raise NotReached(f"GET /fapi/v3/positionRisk: cannot be read: {error!r}") from error
        return [p for p in found if p["positionAmt"]]


def _order(entry: dict[str, Any], order_id: str, client_id: str, kind: OrderKind) -> VenueOrder:
    return VenueOrder(
        symbol=str(entry["symbol"]),
        order_id=str(entry[order_id]),
        client_order_id=str(entry.get(client_id, "")),
        kind=kind,
    )
