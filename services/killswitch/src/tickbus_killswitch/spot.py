"""Binance spot, by REST: what works, what is held, cancel, sell."""

import asyncio
import fnmatch
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tickbus.kill_api import Exposure, OrderKind, VenueOrder
from tickbus_killswitch.rest import UNKNOWN_ORDER, NotReached, Refused, Rest
from tickbus_killswitch.venue import ZERO, Rules, entries, rules_of, settled, symbols_of

TIME_PATH = "/api/v3/time"
SYMBOLS_MAX = 100


class Spot:
    """A spot account; `instruments` are those whose base may be sold."""

    def __init__(self, rest: Rest, instruments: tuple[str, ...], tag: str) -> None:
        self.rest = rest
        self.symbols = symbols_of(instruments)
        self._instruments = instruments
        self._tag = tag
        self._number = 0
        self._rules: dict[str, Rules] = {}

    async def working(self) -> list[VenueOrder]:
        """Every working order, and every order list, of the whole account."""
        orders, lists = await asyncio.gather(
            self.rest.ask("GET", "/api/v3/openOrders"), self._lists()
        )
        try:
            return [_order(entry) for entry in entries(orders, "GET /api/v3/openOrders")] + lists
        except (KeyError, TypeError) as error:
            raise NotReached(f"GET /api/v3/openOrders: cannot be read: {error!r}") from error

    async def _lists(self) -> list[VenueOrder]:
        try:
            lists = await self.rest.ask("GET", "/api/v3/openOrderList")
        except Refused as error:
            if error.status == 404:  # a venue that has no order lists has none open
                return []
            raise
        try:
            return [
                VenueOrder(
                    symbol=str(entry["symbol"]),
                    order_id=str(entry["orderListId"]),
                    client_order_id=str(entry.get("listClientOrderId", "")),
                    kind=OrderKind.LIST,
                )
                for entry in entries(lists, "GET /api/v3/openOrderList")
            ]
        except (KeyError, TypeError) as error:
            raise NotReached(f"GET /api/v3/openOrderList: cannot be read: {error!r}") from error

    async def cancel(self, symbol: str) -> list[VenueOrder]:
        """Cancel every order on `symbol`, lists too; one without orders is no failure."""
        try:
            answer = await self.rest.ask("DELETE", "/api/v3/openOrders", {"symbol": symbol})
        except Refused as error:
            if error.code == UNKNOWN_ORDER:
                return []
            raise
        # A list's answer has no order id of its own, its orders are in `orderReports`.
        listed = entries(answer, "DELETE /api/v3/openOrders")
        orders = [e for entry in listed for e in entry.get("orderReports", [entry])]
        return [_order(e, e.get("origClientOrderId")) for e in orders if "orderId" in e]

    async def exposure(self) -> list[Exposure]:
        """Every asset that the account holds, valued by the configured instruments' prices."""
        totals, prices = await asyncio.gather(self._balances(), self._prices())
        bases = {rules.base: symbol for symbol, rules in reversed(self._rules.items())}
        quotes = {rules.quote for rules in self._rules.values()}
        found = []
        for asset, (free, locked) in totals.items():
            total, symbol = free + locked, bases.get(asset)
            if symbol is not None:
                rules, price = self._rules[symbol], prices[symbol]
                exposed = Exposure(
                    name=asset, quantity=total, value=total * price, currency=rules.quote,
                    dust=rules.is_dust(total, price), ours=True,
                )  # fmt: skip
            elif asset in quotes:
                exposed = Exposure(name=asset, quantity=total, value=total, currency=asset)
            else:
                exposed = Exposure(name=asset, quantity=total)
            found.append(exposed)
        return found

    async def closing(self) -> list[dict[str, Any]]:
        """A sale for each base that the configured instruments name and the venue would take."""
        balances, prices = await asyncio.gather(self._balances(), self._prices())
        sold, orders = set(), []
        for symbol, rules in self._rules.items():
            free = balances.get(rules.base, (ZERO, ZERO))[0]
            if rules.base in sold or rules.is_dust(free, prices[symbol]):
                continue
            sold.add(rules.base)
            for quantity in rules.parts(free):
                if quantity * prices[symbol] >= rules.notional_min:
                    self._number += 1
                    orders.append(
                        {
                            "symbol": symbol, "side": "SELL", "type": "MARKET",
                            "quantity": f"{quantity:f}",
                            "newClientOrderId": f"kill-{self._tag}-{self._number}",
                        }
                    )  # fmt: skip
        return orders

    async def send(self, order: dict[str, Any]) -> None:
        """Sell at the market."""
        await self.rest.ask("POST", "/api/v3/order", order)

    async def settle(self, order: dict[str, Any]) -> bool:
        """Whether a sale without an answer was carried out."""
        return await settled(self.rest, "/api/v3/order", order)

    async def _balances(self) -> dict[str, tuple[Decimal, Decimal]]:
        body = await self.rest.ask("GET", "/api/v3/account")
        try:
            read = {
                str(e["asset"]): (Decimal(str(e["free"])), Decimal(str(e["locked"])))
                for e in entries(body["balances"], "GET /api/v3/account: balances")
            }
        except (KeyError, TypeError, ArithmeticError) as error:
            raise NotReached(f"GET /api/v3/account: cannot be read: {error!r}") from error
        return {asset: amounts for asset, amounts in read.items() if sum(amounts) > 0}

    async def _prices(self) -> dict[str, Decimal]:
        """Last prices of the configured symbols that the venue lists; their rules with them."""
        if not self._rules:
            self._rules = await self._read_rules()
        few = 0 < len(self._rules) <= SYMBOLS_MAX
        params = _many(self._rules) if few else {}
        answer = await self.rest.ask("GET", "/api/v3/ticker/price", params, signed=False)
        try:
            prices = {str(entry["symbol"]): Decimal(str(entry["price"])) for entry in answer}
        except (KeyError, TypeError, ArithmeticError) as error:
            raise NotReached(f"GET /api/v3/ticker/price: cannot be read: {error!r}") from error
        missing = [symbol for symbol in self._rules if symbol not in prices]
        if missing:
            raise NotReached(f"GET /api/v3/ticker/price: no price of {', '.join(missing)}")
        return prices

    async def _read_rules(self) -> dict[str, Rules]:
        path = "/api/v3/exchangeInfo"
        patterns = [name for name in self._instruments if "*" in name]
        info = None
        if self.symbols and not patterns:
            try:
                info = await self.rest.ask("GET", path, _many(self.symbols), signed=False)
            except Refused:  # one that the venue does not list refuses all of them
                info = None
        if info is None:
            info = await self.rest.ask("GET", path, signed=False)
        try:
            rules = rules_of(info)
        except (KeyError, TypeError, ArithmeticError) as error:
            raise NotReached(f"GET {path}: cannot be read: {error!r}") from error
        return {
            symbol: rule
            for symbol, rule in rules.items()
            if symbol in self.symbols
            or any(fnmatch.fnmatch(f"{rule.base}-{rule.quote}", each) for each in patterns)
        }


def _many(symbols: Iterable[str]) -> dict[str, str]:
    return {"symbols": json.dumps(list(symbols), separators=(",", ":"))}


def _order(entry: dict[str, Any], client_order_id: str | None = None) -> VenueOrder:
    return VenueOrder(
        symbol=str(entry["symbol"]),
        order_id=str(entry["orderId"]),
        client_order_id=str(client_order_id or entry.get("clientOrderId", "")),
    )
