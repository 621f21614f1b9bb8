"""Signed futures requests about the account: balances, positions, settings, income."""

from tickbus_exchange.engine import futures_margin as margin
from tickbus_exchange.engine.futures_desk import FuturesDesk
from tickbus_exchange.engine.futures_types import ASSET, IncomeType
from tickbus_exchange.engine.numbers import SCALE, plain
from tickbus_exchange.protocol import errors, futures_errors, futures_render, params
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.futures_requests import Params, one_symbol
from tickbus_exchange.protocol.futures_windows import window
from tickbus_exchange.protocol.render import Json

CROSS_ONLY = "Margin type cannot be changed: this exchange has cross margin only."
ONE_WAY_ONLY = "Position side cannot be changed: this exchange has one-way mode only."


class FuturesAccount:
    """Answers what the account has and how it is set."""

    def __init__(self, desk: FuturesDesk) -> None:
        self._desk = desk

    # -- money ---------------------------------------------------------------------------------

    def _totals(self) -> tuple[int, int, int, int, int]:
        """Return (unrealised, position margin, order margin, maintenance, available)."""
        desk = self._desk
        demands = [desk.demand(symbol) for symbol in desk.symbols_in_use()]
        return (
            desk.unrealized(), sum(d.position for d in demands), sum(d.orders for d in demands),
            desk.maintenance(), max(0, desk.available()),
        )  # fmt: skip

    def balance(self, values: Params, now_ms: int) -> object:
        """Return the wallet, of the one asset there is."""
        unrealized, _, _, _, available = self._totals()
        wallet = plain(self._desk.books.wallet)
        return [
            {
                "accountAlias": "tickbus", "asset": ASSET, "balance": wallet,
                "crossWalletBalance": wallet, "crossUnPnl": plain(unrealized),
                "availableBalance": plain(available), "maxWithdrawAmount": self._withdrawable(),
                "marginAvailable": True, "updateTime": self._desk.books.update_ms,
            }
        ]  # fmt: skip

    def _withdrawable(self) -> str:
        return plain(self._desk.withdrawable())

    def _account(self) -> Json:
        unrealized, position, orders, maintenance, available = self._totals()
        wallet = self._desk.books.wallet
        shared = {
            "initialMargin": position + orders, "maintMargin": maintenance,
            "walletBalance": wallet, "marginBalance": wallet + unrealized,
            "positionInitialMargin": position, "openOrderInitialMargin": orders,
            "crossWalletBalance": wallet, "crossUnPnl": unrealized,
        }  # fmt: skip
        totals = {f"total{k[0].upper()}{k[1:]}": plain(v) for k, v in shared.items()}
        one = {k: plain(v) for k, v in shared.items()} | {
            "asset": ASSET, "unrealizedProfit": plain(unrealized),
            "availableBalance": plain(available), "maxWithdrawAmount": self._withdrawable(),
            "marginAvailable": True, "updateTime": self._desk.books.update_ms,
        }  # fmt: skip
        return totals | {
            "totalUnrealizedProfit": plain(unrealized), "availableBalance": plain(available),
            "maxWithdrawAmount": self._withdrawable(), "assets": [one],
        }  # fmt: skip

    def account_v2(self, values: Params, now_ms: int) -> object:
        """Return the account with a position for every symbol."""
        head = {
            "feeTier": 0, "feeBurn": True, "canTrade": True, "canDeposit": True,
            "canWithdraw": True, "multiAssetsMargin": False, "tradeGroupId": -1, "updateTime": 0,
        }  # fmt: skip
        return head | self._account() | {"positions": [self._position(s) for s in self._desk.rules]}

    def account_v3(self, values: Params, now_ms: int) -> object:
        """Return the account with the positions in use."""
        positions = [self._position(s) for s in self._desk.symbols_in_use()]
        return self._account() | {"positions": positions}

    # -- positions -----------------------------------------------------------------------------

    def _position(self, symbol: str) -> Json:
        """Return a position as both account and positionRisk answers show it."""
        desk = self._desk
        position, mark = desk.books.position(symbol), desk.mark(symbol)
        demand = desk.demand(symbol)
        spare = desk.books.wallet + desk.unrealized() - desk.maintenance()
        unrealized = plain(margin.unrealized(position, mark))
        leverage = desk.books.leverage(symbol)
        entry = plain(margin.entry_price(position))
        notional = margin.value(position, mark)
        return {
            "symbol": symbol, "positionSide": "BOTH", "positionAmt": plain(position.quantity),
            "entryPrice": entry, "breakEvenPrice": entry, "markPrice": plain(mark),
            "unRealizedProfit": unrealized, "unrealizedProfit": unrealized,
            "liquidationPrice": plain(margin.liquidation_price(position, spare, mark)),
            "leverage": str(leverage), "maxNotional": plain(margin.notional_max(leverage)),
            "maxNotionalValue": plain(margin.notional_max(leverage)), "marginType": "cross",
            "isolated": False, "isolatedMargin": "0", "isAutoAddMargin": "false",
            "notional": plain(notional), "isolatedWallet": "0", "marginAsset": ASSET,
            "initialMargin": plain(demand.total),
            "maintMargin": plain(margin.maintenance(position, mark)),
            "positionInitialMargin": plain(demand.position),
            "openOrderInitialMargin": plain(demand.orders), "adl": 0,
            "bidNotional": plain(demand.bids), "askNotional": plain(demand.asks),
            "updateTime": position.update_ms,
        }  # fmt: skip

    def _named(self, values: Params) -> list[str] | None:
        return [one_symbol(self._desk.rules, values)] if "symbol" in values else None

    def positions_v2(self, values: Params, now_ms: int) -> object:
        """Return the position of one or every symbol, flat ones too."""
        return [self._position(s) for s in self._named(values) or self._desk.rules]

    def positions_v3(self, values: Params, now_ms: int) -> object:
        """Return the positions in use, or that of one symbol."""
        names = self._named(values)
        if names is None:
            names = self._desk.symbols_in_use()
        return [self._position(s) for s in names]

    # -- settings ------------------------------------------------------------------------------

    def set_leverage(self, values: Params, now_ms: int) -> object:
        """Choose the leverage of a symbol."""
        symbol = one_symbol(self._desk.rules, values)
        params.required(values, "leverage")
        leverage = params.long(values, "leverage") or 0
        refused = self._desk.set_leverage(symbol, leverage, now_ms)
        if refused is not None:
            raise futures_errors.refused(refused)
        return {
            "symbol": symbol, "leverage": leverage,
            "maxNotionalValue": plain(margin.notional_max(leverage)),
        }  # fmt: skip

    def set_margin_type(self, values: Params, now_ms: int) -> object:
        """Say that cross margin is what there is."""
        one_symbol(self._desk.rules, values)
        wanted = params.required(values, "marginType")
        if wanted == "CROSSED":
            raise ApiError(-4046, "No need to change margin type.")
        if wanted != "ISOLATED":
            raise errors.invalid("marginType")
        raise ApiError(-4048, CROSS_ONLY)

    def set_dual(self, values: Params, now_ms: int) -> object:
        """Say that one-way mode is what there is."""
        wanted = params.required(values, "dualSidePosition").lower()
        if wanted == "false":
            raise futures_errors.no_change_of_side()
        if wanted != "true":
            raise errors.invalid("dualSidePosition")
        raise ApiError(-4068, ONE_WAY_ONLY)

    def dual(self, values: Params, now_ms: int) -> object:
        """Return the position mode."""
        return {"dualSidePosition": False}

    def multi_assets(self, values: Params, now_ms: int) -> object:
        """Return the asset mode."""
        return {"multiAssetsMargin": False}

    def account_config(self, values: Params, now_ms: int) -> object:
        """Return what the account may do and how it is set."""
        return {
            "feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True,
            "dualSidePosition": False, "updateTime": 0, "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }  # fmt: skip

    def symbol_config(self, values: Params, now_ms: int) -> object:
        """Return leverage and margin type of one or every symbol."""
        desk = self._desk
        return [
            {
                "symbol": s, "marginType": "CROSSED", "isAutoAddMargin": False,
                "leverage": desk.books.leverage(s),
                "maxNotionalValue": plain(margin.notional_max(desk.books.leverage(s))),
            }
            for s in self._named(values) or desk.rules
        ]  # fmt: skip

    def leverage_brackets(self, values: Params, now_ms: int) -> object:
        """Return the brackets, the same for every symbol."""
        floor, rows = 0, []
        for number, b in enumerate(margin.BRACKETS, 1):
            rows.append(
                {
                    "bracket": number, "initialLeverage": b.leverage_max,
                    "notionalCap": b.cap // SCALE, "notionalFloor": floor // SCALE,
                    "maintMarginRatio": b.rate / SCALE, "cum": b.deduction / SCALE,
                }
            )  # fmt: skip
            floor = b.cap
        names = self._named(values)
        found = [{"symbol": s, "brackets": rows} for s in names or self._desk.rules]
        return found[0] if names else found

    def commission(self, values: Params, now_ms: int) -> object:
        """Return the fee rates of a symbol."""
        return {
            "symbol": one_symbol(self._desk.rules, values),
            "makerCommissionRate": plain(self._desk.maker_fee),
            "takerCommissionRate": plain(self._desk.taker_fee),
        }

    def income(self, values: Params, now_ms: int) -> object:
        """Return why the wallet changed, oldest first, of seven days at most."""
        names = self._named(values)
        kind = values.get("incomeType")
        if kind is not None and kind not in IncomeType.__members__:
            raise errors.invalid("incomeType")
        count, page = params.limit(values, 100, 1_000), params.long(values, "page") or 1
        start, end, _ = window(values, now_ms)
        found = [
            i
            for i in self._desk.books.income
            if start <= i.time_ms <= end
            and (names is None or i.symbol in names)
            and kind in {None, i.type}
        ]
        first = (max(1, page) - 1) * count
        return [futures_render.income(i) for i in found[first : first + count]]
