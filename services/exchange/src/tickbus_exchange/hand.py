"""What a person does at the venue by hand: orders in its app, deposits and withdrawals."""

import msgspec

from tickbus_exchange.app import Exchange
from tickbus_exchange.engine.numbers import parse, text
from tickbus_exchange.protocol import render
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.operations import SIGNING
from tickbus_exchange.venue import USER

# Numbers keep the spelling they came with.
_decode = msgspec.json.Decoder(dict[str, str | int | float], float_hook=str).decode
ORDER, CANCEL = ("POST", "/api/v3/order"), ("DELETE", "/api/v3/order")


class WrongHandError(Exception):
    """What was asked for cannot be done; the message names the field and the remedy."""


class ByHand:
    """Acts on users' accounts without a key. Each body is a JSON object with an optional account.

    Everything raises WrongHandError for a wrong body and ApiError for what the venue refuses.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def place(self, body: bytes) -> object:
        """Place an order as the venue's app does, under a client id of its making."""
        account, values = self.read(body)
        if values.get("type") == "LIMIT":
            values.setdefault("timeInForce", "GTC")
        values.setdefault("newOrderRespType", "FULL")
        values["newClientOrderId"] = f"web_{self._exchange.venue.engine.order_id + 1:032x}"
        return self._run(ORDER, account, values)

    def cancel(self, body: bytes) -> object:
        """Cancel an order of the account, whoever placed it."""
        account, values = self.read(body)
        values["newClientOrderId"] = f"web_{self._exchange.venue.engine.execution_id + 1:032x}"
        return self._run(CANCEL, account, values)

    def transfer(self, body: bytes) -> object:
        """Deposit (`amount` above 0) or withdraw (below 0) some of an asset."""
        account, values = self.read(body)
        if values.keys() != {"asset", "amount"}:
            raise WrongHandError('send {"asset": "USDT", "amount": "-5"}, and "account" if need be')
        asset, wanted = values["asset"], values["amount"]
        if not (asset.isascii() and asset.isalnum() and asset.isupper() and len(asset) <= 20):
            raise WrongHandError(f"asset {asset!r} is not a name like USDT")
        try:
            amount = parse(wanted.removeprefix("-")) * (-1 if wanted.startswith("-") else 1)
        except ValueError as error:
            raise WrongHandError(f"amount {wanted!r}: {error}") from error
        if amount == 0:
            raise WrongHandError("amount must not be 0")
        now_ms = self._exchange.clock_ms()
        transfer = self._exchange.venue.transfer(account, asset, amount, now_ms)
        if transfer is None:
            free = text(self._exchange.venue.users[account].balance(asset).free)
            raise WrongHandError(f"amount {wanted}: only {free} {asset} are free")
        return render.transfer(transfer)

    def read(self, body: bytes) -> tuple[str, dict[str, str]]:
        """Return the account that is meant and the other fields as text."""
        try:
            values = {name: str(value) for name, value in _decode(body).items()}
        except (msgspec.DecodeError, RecursionError) as error:
            raise WrongHandError(f"the body is not an object of plain values: {error}") from error
        account = values.pop("account", USER)
        if account not in self._exchange.venue.users:
            known = ", ".join(self._exchange.venue.users)
            raise WrongHandError(f"account {account!r} is none of {known}")
        return account, values

    def _run(self, request: tuple[str, str], account: str, values: dict[str, str]) -> object:
        operation = self._exchange.tables[account].rest[request]
        unknown = values.keys() - (operation.names - SIGNING)
        if unknown:
            known = ", ".join(sorted(operation.names - SIGNING))
            raise WrongHandError(f"there is no {sorted(unknown)[0]!r}; there are {known}")
        return operation.run(values, self._exchange.clock_ms())


def refusal(error: WrongHandError | ApiError) -> dict[str, object]:
    """Return the body of a refused request."""
    if isinstance(error, ApiError):
        return {"error": error.message, "code": error.code}
    return {"error": str(error)}
