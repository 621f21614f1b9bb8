"""What clients ask of the wallet, /sapi, before they trade: coins, fees, status. No margin here."""

from tickbus_exchange.engine.numbers import text
from tickbus_exchange.protocol import render
from tickbus_exchange.protocol.market_data import Params, some_symbols
from tickbus_exchange.venue import USER, Venue


class Wallet:
    """Answers for one account."""

    def __init__(self, venue: Venue, account_id: str = USER) -> None:
        self._venue = venue
        self._account_id = account_id

    def system_status(self, values: Params, now_ms: int) -> object:
        """Tell that there is no maintenance."""
        return {"status": 0, "msg": "normal"}

    def account_status(self, values: Params, now_ms: int) -> object:
        """Tell that the account may trade."""
        return {"data": "Normal"}

    def coins(self, values: Params, now_ms: int) -> object:
        """Return every asset of the account. No network leads out of a simulation."""
        return [
            {
                "coin": asset, "name": asset, "free": text(b.free), "locked": text(b.locked),
                "depositAllEnable": False, "withdrawAllEnable": False, "freeze": render.ZERO,
                "withdrawing": render.ZERO, "ipoing": render.ZERO, "ipoable": render.ZERO,
                "storage": render.ZERO, "isLegalMoney": False, "trading": True, "networkList": [],
            }
            for asset, b in self._venue.users[self._account_id].balances.items()
        ]  # fmt: skip

    def trade_fees(self, values: Params, now_ms: int) -> object:
        """Return the fee rates of one or all symbols."""
        names, _ = some_symbols(self._venue, values)
        engine = self._venue.engine
        rates = {
            "makerCommission": text(engine.maker_fee), "takerCommission": text(engine.taker_fee),
        }  # fmt: skip
        return [{"symbol": name} | rates for name in names]

    def no_pairs(self, values: Params, now_ms: int) -> object:
        """Return the margin pairs: there are none."""
        return []
