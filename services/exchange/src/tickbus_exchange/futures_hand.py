"""Futures by hand: transfers, funding, liquidation and orders of the venue's app; and the books."""

from tickbus_exchange.app import Exchange
from tickbus_exchange.engine.numbers import parse, plain
from tickbus_exchange.futures import FuturesUser
from tickbus_exchange.hand import ByHand, WrongHandError
from tickbus_exchange.protocol import futures_render, render
from tickbus_exchange.protocol.operations import SIGNING

ORDER, CANCEL = ("POST", "/fapi/v1/order"), ("DELETE", "/fapi/v1/order")


class FuturesByHand:
    """Acts on users' futures accounts without a key, with bodies and errors as `ByHand` has."""

    def __init__(self, exchange: Exchange, hand: ByHand) -> None:
        self._exchange = exchange
        self._hand = hand

    def ledger(self, account: str) -> render.Json:
        """Return all books of a futures account; decimals as text, nothing left out."""
        user = self._exchange.futures.users[account]
        books = user.desk.books
        return {
            "opening_wallet": plain(books.opening_wallet),
            "wallet": plain(books.wallet),
            "orders": [futures_render.order(o) for o in books.orders.values()],
            "fills": [futures_render.fill(f) for s in books.fills for f in books.fills[s]],
            "positions": {
                p.symbol: {
                    "quantity": plain(p.quantity), "cost": plain(p.cost),
                    "realized": plain(p.realized),
                }
                for p in books.positions.values()
            },
            "income": [futures_render.income(i) for i in books.income],
            "algo_orders": [futures_render.algo(a) for a in books.algos.values()],
            "transfers": [
                {"id": t.transfer_id, "amount": plain(-t.amount), "time": t.time_ms}
                for t in books.transfers
            ],
            "leverage": dict(books.leverages),
        }  # fmt: skip

    def place(self, body: bytes) -> object:
        """Place an order as the venue's app does, under a client id of its making."""
        user, values = self._read(body, ORDER)
        values["newClientOrderId"] = f"web_{self._exchange.venue.engine.order_id + 1:032x}"
        values.setdefault("newOrderRespType", "RESULT")
        return self._run(ORDER, user, values)

    def cancel(self, body: bytes) -> object:
        """Cancel an order of the account, whoever placed it."""
        user, values = self._read(body, CANCEL)
        return self._run(CANCEL, user, values)

    def transfer(self, body: bytes) -> object:
        """Move USDT from the spot wallet (`amount` above 0), or back to it."""
        user, values = self._read(body, None, "amount")
        text = values.get("amount", "")
        amount = _signed(text, "amount")
        if amount == 0:
            raise WrongHandError("amount must not be 0")
        now_ms = self._exchange.clock_ms()
        transfer = self._exchange.futures.transfer(user.name, amount, now_ms)
        if transfer is None:
            spot = self._exchange.venue.users[user.name].balance("USDT").free
            most = spot if amount > 0 else user.desk.withdrawable()
            raise WrongHandError(f"amount {text}: only {plain(most)} USDT can be moved")
        return {"tranId": transfer.transfer_id, "wallet": plain(user.desk.books.wallet)}

    def fund(self, body: bytes) -> object:
        """Settle funding now, at `rate` (by default the usual one), of one `symbol` or all."""
        user, values = self._read(body, None, "rate", "symbol")
        rate = user.keeper.funding_rate
        if "rate" in values:
            rate = _signed(values["rate"], "rate")
        symbol = self._symbol(values) if "symbol" in values else None
        paid = user.keeper.fund(rate, self._exchange.clock_ms(), symbol)
        return {"amount": plain(paid), "wallet": plain(user.desk.books.wallet)}

    def liquidate(self, body: bytes) -> object:
        """Close the position in `symbol` as the venue does when the margin is gone."""
        user, values = self._read(body, None, "symbol")
        symbol, now_ms = self._symbol(values), self._exchange.clock_ms()
        if not user.desk.books.position(symbol).quantity:
            raise WrongHandError(f"symbol {symbol}: there is no position to close")
        user.keeper.cancel_all(symbol, now_ms)
        user.desk.liquidate(symbol, f"autoclose-{now_ms}", now_ms)
        return {"quantity": plain(user.desk.books.position(symbol).quantity)}

    def _symbol(self, values: dict[str, str]) -> str:
        symbol, rules = values.get("symbol", ""), self._exchange.venue.rules
        if symbol not in rules:
            raise WrongHandError(f"symbol {symbol!r} is none of {', '.join(rules)}")
        return symbol

    def _read(
        self, body: bytes, request: tuple[str, str] | None, *names: str
    ) -> tuple[FuturesUser, dict[str, str]]:
        account, values = self._hand.read(body or b"{}")
        user = self._exchange.futures.users[account]
        known = frozenset(names)
        if request is not None:
            known = self._exchange.futures.tables[account].rest[request].names - SIGNING
        unknown = sorted(values.keys() - known)
        if unknown:
            raise WrongHandError(
                f"there is no {unknown[0]!r}; there are {', '.join(sorted(known))}"
            )
        return user, values

    def _run(self, request: tuple[str, str], user: FuturesUser, values: dict[str, str]) -> object:
        operation = self._exchange.futures.tables[user.name].rest[request]
        return operation.run(values, self._exchange.clock_ms())


def _signed(text: str, name: str) -> int:
    try:
        return parse(text.removeprefix("-")) * (-1 if text.startswith("-") else 1)
    except ValueError as error:
        raise WrongHandError(f"{name} {text!r}: {error}") from error
