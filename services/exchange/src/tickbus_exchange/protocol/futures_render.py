"""The futures account in Binance's words: JSON of orders, fills, positions, balances, events."""

from tickbus_exchange.engine import futures_margin as margin
from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.futures_checks import PERCENT_DOWN, PERCENT_UP
from tickbus_exchange.engine.futures_types import (
    ASSET,
    AlgoOrder,
    FuturesFill,
    FuturesOrder,
    FuturesTif,
    FuturesType,
    Income,
    Position,
)
from tickbus_exchange.engine.numbers import PRECISION, SCALE, plain
from tickbus_exchange.engine.orders import Side
from tickbus_exchange.protocol.render import Json

ZERO = "0"


def text(units: int) -> str:
    """Write `units`, which may be below 0, with eight decimals."""
    sign = "-" if units < 0 else ""
    return f"{sign}{abs(units) // SCALE}.{abs(units) % SCALE:08d}"


def decimals(step: int) -> int:
    """Return how many decimals a multiple of `step` may have."""
    return len(plain(step).partition(".")[2])


def price_precision(rules: SymbolRules) -> int:
    """Return the most decimals of a price; one more than the tick's, which is no substitute."""
    return min(PRECISION, decimals(rules.tick_size) + 1)


def _average(order: FuturesOrder) -> int:
    return order.quote_filled * SCALE // order.filled if order.filled else 0


def placed(order: FuturesOrder) -> Json:
    """Return the answer to an order, an amendment or a cancel: no average price, no quote."""
    return {
        "orderId": order.order_id, "symbol": order.symbol, "status": order.status,
        "clientOrderId": order.client_order_id, "price": plain(order.price),
        "origQty": plain(order.quantity), "executedQty": plain(order.filled),
        "cumQty": plain(order.filled), "timeInForce": order.time_in_force, "type": order.type,
        "reduceOnly": order.reduce_only, "closePosition": order.close_position,
        "side": order.side, "positionSide": "BOTH", "stopPrice": plain(order.stop_price),
        "workingType": order.working_type, "priceProtect": False, "origType": order.orig_type,
        "priceMatch": order.price_match, "selfTradePreventionMode": order.stp,
        "goodTillDate": order.good_till_ms, "updateTime": order.update_ms,
    }  # fmt: skip


def order(order: FuturesOrder) -> Json:
    """Return an order as queries show it."""
    return placed(order) | {
        "avgPrice": plain(_average(order)),
        "cumQuote": plain(order.quote_filled),
        "time": order.time_ms,
    }


def fill(f: FuturesFill) -> Json:
    """Return a fill as `userTrades` shows it."""
    return {
        "symbol": f.symbol, "id": f.trade_id, "orderId": f.order_id, "side": f.side,
        "price": plain(f.price), "qty": plain(f.quantity), "realizedPnl": plain(f.realized),
        "quoteQty": plain(f.quote), "commission": plain(f.commission),
        "commissionAsset": ASSET, "time": f.time_ms, "positionSide": "BOTH",
        "buyer": f.side is Side.BUY, "maker": f.is_maker,
    }  # fmt: skip


def income(i: Income) -> Json:
    """Return an entry of the income history."""
    return {
        "symbol": i.symbol, "incomeType": i.type, "income": plain(i.amount), "asset": ASSET,
        "info": i.type, "time": i.time_ms, "tranId": i.income_id,
        "tradeId": str(i.trade_id) if i.trade_id else "",
    }  # fmt: skip


def algo(a: AlgoOrder) -> Json:
    """Return a conditional order."""
    return {
        "algoId": a.algo_id, "clientAlgoId": a.client_algo_id, "algoType": "CONDITIONAL",
        "orderType": a.type, "symbol": a.symbol, "side": a.side, "positionSide": "BOTH",
        "timeInForce": a.time_in_force, "quantity": plain(a.quantity), "algoStatus": a.status,
        "actualOrderId": str(a.order_id) if a.order_id else "", "actualPrice": "0.00000",
        "triggerPrice": plain(a.trigger_price), "price": plain(a.price),
        "icebergQuantity": None, "tpTriggerPrice": "0.000", "tpPrice": "0.000",
        "slTriggerPrice": "0.000", "slPrice": "0.000", "tpOrderType": "",
        "selfTradePreventionMode": a.stp, "workingType": a.working_type,
        "priceMatch": a.price_match, "closePosition": a.close_position,
        "priceProtect": a.price_protect, "reduceOnly": a.reduce_only,
        "activatePrice": plain(a.activate_price) if a.activate_price else "",
        "callbackRate": plain(a.callback_rate) if a.callback_rate else "",
        "createTime": a.create_ms, "updateTime": a.update_ms, "triggerTime": a.trigger_ms,
        "goodTillDate": a.good_till_ms,
    }  # fmt: skip


def symbol(rules: SymbolRules, status: str) -> Json:
    """Return exchangeInfo's entry of a perpetual."""
    tick, step = plain(rules.tick_size), plain(rules.step_size)
    least = plain(rules.quantity_min)
    return {
        "symbol": rules.symbol, "pair": rules.symbol, "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000, "onboardDate": 1_569_398_400_000, "status": status,
        "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000",
        "baseAsset": rules.base, "quoteAsset": rules.quote, "marginAsset": rules.quote,
        "pricePrecision": price_precision(rules), "quantityPrecision": decimals(rules.step_size),
        "baseAssetPrecision": PRECISION, "quotePrecision": PRECISION,
        "underlyingType": "COIN", "underlyingSubType": [], "triggerProtect": "0.0500",
        "liquidationFee": "0.000000", "marketTakeBound": "0.05", "maxMoveOrderLimit": 10_000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": plain(rules.price_min),
             "maxPrice": plain(rules.price_max), "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": least, "maxQty": plain(rules.quantity_max),
             "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": least,
             "maxQty": plain(rules.market_quantity_max), "stepSize": step},
            {"filterType": "MAX_NUM_ORDERS", "limit": rules.orders_max},
            {"filterType": "MIN_NOTIONAL", "notional": plain(rules.notional_min)},
            {"filterType": "PERCENT_PRICE", "multiplierUp": plain(PERCENT_UP),
             "multiplierDown": plain(PERCENT_DOWN), "multiplierDecimal": "4"},
        ],
        "orderTypes": [t.value for t in FuturesType if t is not FuturesType.LIQUIDATION]
        + ["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
        "timeInForce": [t.value for t in FuturesTif], "permissionSets": ["GRID"],
    }  # fmt: skip


# -- user data events ------------------------------------------------------------------------------


def order_update(o: FuturesOrder, execution: str, f: FuturesFill | None) -> Json:
    """Return an `ORDER_TRADE_UPDATE`."""
    shown: Json = {
        "s": o.symbol, "c": o.client_order_id, "S": o.side, "o": o.type, "f": o.time_in_force,
        "q": plain(o.quantity), "p": plain(o.price), "ap": plain(_average(o)),
        "sp": plain(o.stop_price), "x": execution, "X": o.status, "i": o.order_id,
        "l": plain(f.quantity) if f else ZERO, "z": plain(o.filled),
        "L": plain(f.price) if f else ZERO, "T": o.update_ms, "t": f.trade_id if f else 0,
        "b": ZERO, "a": ZERO, "m": f.is_maker if f else False, "R": o.reduce_only,
        "wt": o.working_type, "ot": o.orig_type, "ps": "BOTH", "cp": o.close_position,
        "rp": plain(f.realized) if f else ZERO, "pP": False, "si": 0, "ss": 0, "V": o.stp,
        "pm": o.price_match, "gtd": o.good_till_ms, "er": "0",
    }  # fmt: skip
    if f is not None and execution == "TRADE":
        shown |= {"N": ASSET, "n": plain(f.commission)}
    return {"e": "ORDER_TRADE_UPDATE", "E": o.update_ms, "T": o.update_ms, "o": shown}


def trade_lite(o: FuturesOrder, f: FuturesFill) -> Json:
    """Return a `TRADE_LITE`."""
    return {
        "e": "TRADE_LITE", "E": f.time_ms, "T": f.time_ms, "s": f.symbol, "q": plain(o.quantity),
        "p": plain(o.price), "m": f.is_maker, "c": o.client_order_id, "S": o.side,
        "L": plain(f.price), "l": plain(f.quantity), "t": f.trade_id, "i": o.order_id,
    }  # fmt: skip


def position_change(p: Position, mark: int) -> Json:
    """Return a position as an `ACCOUNT_UPDATE` shows it."""
    return {
        "s": p.symbol, "pa": plain(p.quantity), "ep": plain(margin.entry_price(p)),
        "bep": plain(margin.entry_price(p)), "cr": plain(p.realized),
        "up": plain(margin.unrealized(p, mark)), "mt": "cross", "iw": ZERO, "ps": "BOTH",
        "ma": ASSET,
    }  # fmt: skip


def algo_update(a: AlgoOrder) -> Json:
    """Return an `ALGO_UPDATE`."""
    shown = {
        "caid": a.client_algo_id, "aid": a.algo_id, "at": "CONDITIONAL", "o": a.type,
        "s": a.symbol, "S": a.side, "ps": "BOTH", "f": a.time_in_force, "q": plain(a.quantity),
        "X": a.status, "ai": str(a.order_id) if a.order_id else "", "ap": ZERO, "aq": ZERO,
        "act": ZERO, "tp": plain(a.trigger_price), "p": plain(a.price), "V": a.stp,
        "wt": a.working_type, "pm": a.price_match, "cp": a.close_position,
        "pP": a.price_protect, "R": a.reduce_only, "tt": a.trigger_ms, "gtd": a.good_till_ms,
        "rm": a.reason, "ia": a.is_active,
    }  # fmt: skip
    return {"e": "ALGO_UPDATE", "T": a.update_ms, "E": a.update_ms, "o": shown}
