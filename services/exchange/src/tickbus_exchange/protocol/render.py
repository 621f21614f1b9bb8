"""Engine values in Binance's words: JSON objects of orders, fills, accounts and events."""

from typing import Any

from tickbus_exchange.engine.account import Account
from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.numbers import SCALE, text
from tickbus_exchange.engine.orders import (
    ExecutionType,
    OrderStatus,
    OrderType,
    Report,
    SelfTradePrevention,
    Side,
    Trade,
    Transfer,
)
from tickbus_exchange.tape import AggTrade, Candle

Json = dict[str, Any]
ZERO = "0.00000000"


def execution_report(r: Report) -> Json:
    """Return a user data stream's `executionReport`."""
    cancelled = r.execution_type is ExecutionType.CANCELED
    original = r.client_order_id if cancelled else r.former_client_order_id
    event: Json = {
        "e": "executionReport",
        "E": r.transact_ms,
        "s": r.symbol,
        "c": r.cancel_client_order_id if cancelled else r.client_order_id,
        "S": r.side,
        "o": r.type,
        "f": r.time_in_force,
        "q": text(r.quantity),
        "p": text(r.price),
        "P": text(r.stop_price),
        "F": ZERO,
        "g": -1,
        "C": original,
        "x": r.execution_type,
        "X": r.status,
        "r": "NONE",
        "i": r.order_id,
        "l": text(r.last_quantity),
        "z": text(r.filled),
        "L": text(r.last_price),
        "n": text(r.fee) if r.fee_asset else "0",
        "N": r.fee_asset or None,
        "T": r.transact_ms,
        "t": r.trade_id,
        "I": r.execution_id,
        "w": r.working,
        "m": r.is_maker,
        "M": r.trade_id >= 0,
        "O": r.time_ms,
        "Z": text(r.quote_filled),
        "Y": text(r.last_quote),
        "Q": text(r.quote_quantity),
        "V": r.stp,
    }
    if r.working_ms >= 0:
        event["W"] = r.working_ms
    if r.execution_type is ExecutionType.TRADE_PREVENTION:
        event |= _prevention(r)
    return event


def _prevention(r: Report) -> Json:
    return {
        "v": r.prevented_match_id,
        "A": text(r.prevented),
        "B": text(r.last_prevented),
        "u": r.order_id,
        "U": r.counter_order_id,
        "Cs": r.symbol,
        "pl": text(r.last_prevented),
        "pL": text(r.counter_price),
        "pY": text(r.last_prevented * r.counter_price // SCALE),
    }


def account_position(r: Report, rules: SymbolRules) -> Json:
    """Return the `outboundAccountPosition` that goes with a report."""
    balances = [
        {"a": rules.base, "f": text(r.base_free), "l": text(r.base_locked)},
        {"a": rules.quote, "f": text(r.quote_free), "l": text(r.quote_locked)},
    ]
    if r.fee_asset not in {"", rules.base, rules.quote}:
        third = {"a": r.fee_asset, "f": text(r.fee_asset_free), "l": text(r.fee_asset_locked)}
        balances.append(third)
    return {
        "e": "outboundAccountPosition", "E": r.transact_ms, "u": r.transact_ms, "B": balances,
    }  # fmt: skip


def balance_update(t: Transfer) -> Json:
    """Return a user data stream's `balanceUpdate`."""
    return {
        "e": "balanceUpdate", "E": t.time_ms, "a": t.asset, "d": signed(t.amount), "T": t.time_ms,
    }  # fmt: skip


def position_after(t: Transfer) -> Json:
    """Return the `outboundAccountPosition` that goes with a transfer."""
    balance = {"a": t.asset, "f": text(t.free), "l": text(t.locked)}
    return {"e": "outboundAccountPosition", "E": t.time_ms, "u": t.time_ms, "B": [balance]}


def transfer(t: Transfer) -> Json:
    """Return a transfer as the admin interface shows it."""
    return {
        "id": t.transfer_id, "asset": t.asset, "amount": signed(t.amount), "time": t.time_ms,
    }  # fmt: skip


def signed(units: int) -> str:
    """Write `units`, which may be negative, with eight decimals."""
    return ("-" if units < 0 else "") + text(abs(units))


def order(r: Report) -> Json:
    """Return an order as queries show it."""
    shown = {
        "symbol": r.symbol,
        "orderId": r.order_id,
        "orderListId": -1,
        "clientOrderId": r.client_order_id,
        "price": text(r.price),
        "origQty": text(r.quantity),
        "executedQty": text(r.filled),
        "cummulativeQuoteQty": text(r.quote_filled),
        "status": r.status,
        "timeInForce": r.time_in_force,
        "type": r.type,
        "side": r.side,
        "stopPrice": text(r.stop_price),
        "icebergQty": ZERO,
        "time": r.time_ms,
        "updateTime": r.transact_ms,
        "isWorking": r.working_ms >= 0,
        "workingTime": r.working_ms,
        "origQuoteOrderQty": text(r.quote_quantity),
        "selfTradePreventionMode": r.stp,
    }
    if r.prevented:
        shown["preventedMatchId"] = r.prevented_match_id
        shown["preventedQuantity"] = text(r.prevented)
    return shown


def placed(reports: list[Report], response_type: str) -> Json:
    """Return the answer to a new order: ACK, RESULT or FULL."""
    r = reports[-1]
    answer: Json = {
        "symbol": r.symbol,
        "orderId": r.order_id,
        "orderListId": -1,
        "clientOrderId": r.client_order_id,
        "transactTime": r.time_ms,
    }
    if response_type == "ACK":
        return answer
    answer |= {
        "price": text(r.price),
        "origQty": text(r.quantity),
        "executedQty": text(r.filled),
        "origQuoteOrderQty": text(r.quote_quantity),
        "cummulativeQuoteQty": text(r.quote_filled),
        "status": r.status,
        "timeInForce": r.time_in_force,
        "type": r.type,
        "side": r.side,
        "workingTime": r.working_ms,
        "selfTradePreventionMode": r.stp,
    }
    if r.stop_price:
        answer["stopPrice"] = text(r.stop_price)
    if r.status is OrderStatus.EXPIRED_IN_MATCH:
        answer |= {
            "preventedMatchId": r.prevented_match_id,
            "preventedQuantity": text(r.prevented),
        }
    if response_type == "FULL":
        answer["fills"] = [
            {
                "price": text(f.last_price),
                "qty": text(f.last_quantity),
                "commission": text(f.fee),
                "commissionAsset": f.fee_asset,
                "tradeId": f.trade_id,
            }
            for f in reports
            if f.execution_type is ExecutionType.TRADE
        ]
    return answer


def cancelled(r: Report) -> Json:
    """Return the answer to a cancel."""
    answer: Json = {
        "symbol": r.symbol,
        "origClientOrderId": r.client_order_id,
        "orderId": r.order_id,
        "orderListId": -1,
        "clientOrderId": r.cancel_client_order_id,
        "transactTime": r.transact_ms,
        "price": text(r.price),
        "origQty": text(r.quantity),
        "executedQty": text(r.filled),
        "origQuoteOrderQty": text(r.quote_quantity),
        "cummulativeQuoteQty": text(r.quote_filled),
        "status": r.status,
        "timeInForce": r.time_in_force,
        "type": r.type,
        "side": r.side,
        "selfTradePreventionMode": r.stp,
    }
    if r.stop_price:
        answer["stopPrice"] = text(r.stop_price)
    return answer


def amended(r: Report) -> Json:
    """Return the answer to an amendment."""
    return {
        "transactTime": r.transact_ms,
        "executionId": r.execution_id,
        "amendedOrder": {
            "symbol": r.symbol,
            "orderId": r.order_id,
            "orderListId": -1,
            "origClientOrderId": r.former_client_order_id,
            "clientOrderId": r.client_order_id,
            "price": text(r.price),
            "qty": text(r.quantity),
            "executedQty": text(r.filled),
            "preventedQty": text(r.prevented),
            "quoteOrderQty": text(r.quote_quantity),
            "cumulativeQuoteQty": text(r.quote_filled),
            "status": r.status,
            "timeInForce": r.time_in_force,
            "type": r.type,
            "side": r.side,
            "workingTime": r.working_ms,
            "selfTradePreventionMode": r.stp,
        },
    }


def amendment(r: Report) -> Json:
    """Return an amendment as `order/amendments` shows it."""
    return {
        "symbol": r.symbol,
        "orderId": r.order_id,
        "executionId": r.execution_id,
        "origClientOrderId": r.former_client_order_id,
        "newClientOrderId": r.client_order_id,
        "origQty": text(r.former_quantity),
        "newQty": text(r.quantity),
        "time": r.transact_ms,
    }


def fill(r: Report) -> Json:
    """Return a fill as `myTrades` shows it."""
    return {
        "symbol": r.symbol,
        "id": r.trade_id,
        "orderId": r.order_id,
        "orderListId": -1,
        "price": text(r.last_price),
        "qty": text(r.last_quantity),
        "quoteQty": text(r.last_quote),
        "commission": text(r.fee),
        "commissionAsset": r.fee_asset,
        "time": r.transact_ms,
        "isBuyer": r.side is Side.BUY,
        "isMaker": r.is_maker,
        "isBestMatch": True,
    }


def account(
    holder: Account, maker_fee: int, taker_fee: int, updated_ms: int, *, all_assets: bool, uid: int
) -> Json:
    """Return the account's balances and fee rates."""
    return {
        "makerCommission": maker_fee * 10_000 // SCALE,
        "takerCommission": taker_fee * 10_000 // SCALE,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": text(maker_fee),
            "taker": text(taker_fee),
            "buyer": ZERO,
            "seller": ZERO,
        },
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": updated_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": text(b.free), "locked": text(b.locked)}
            for asset, b in holder.balances.items()
            if all_assets or b.free or b.locked
        ],
        "permissions": ["SPOT"],
        "uid": uid,
    }


def trade(t: Trade) -> Json:
    """Return a public trade."""
    return {
        "id": t.trade_id,
        "price": text(t.price),
        "qty": text(t.quantity),
        "quoteQty": text(t.quote),
        "time": t.time_ms,
        "isBuyerMaker": t.buyer_is_maker,
        "isBestMatch": True,
    }


def agg_trade(t: AggTrade) -> Json:
    """Return an aggregate trade, without stream fields."""
    return {
        "a": t.agg_id,
        "p": text(t.price),
        "q": text(t.quantity),
        "f": t.first_id,
        "l": t.last_id,
        "T": t.time_ms,
        "m": t.buyer_is_maker,
        "M": True,
    }


def kline(c: Candle, width_ms: int) -> list[object]:
    """Return a candle as the REST API lists it."""
    return [
        c.open_ms, text(c.open), text(c.high), text(c.low), text(c.close), text(c.volume),
        c.open_ms + width_ms - 1, text(c.quote), c.trades, text(c.taker_buy),
        text(c.taker_buy_quote), "0",
    ]  # fmt: skip


def symbol(rules: SymbolRules, status: str = "TRADING") -> Json:
    """Return exchangeInfo's entry of a symbol."""
    modes = [m.value for m in SelfTradePrevention]
    return {
        "symbol": rules.symbol,
        "status": status,
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [t.value for t in OrderType],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(rules),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": modes,
    }


def _filters(rules: SymbolRules) -> list[Json]:
    up, down = text(rules.price_multiplier_up), text(rules.price_multiplier_down)
    minutes = rules.average_price_minutes
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": text(rules.price_min),
            "maxPrice": text(rules.price_max),
            "tickSize": text(rules.tick_size),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": text(rules.quantity_min),
            "maxQty": text(rules.quantity_max),
            "stepSize": text(rules.step_size),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": ZERO,
            "maxQty": text(rules.market_quantity_max),
            "stepSize": ZERO,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": up.rstrip("0").rstrip("."),
            "bidMultiplierDown": down.rstrip("0").rstrip("."),
            "askMultiplierUp": up.rstrip("0").rstrip("."),
            "askMultiplierDown": down.rstrip("0").rstrip("."),
            "avgPriceMins": minutes,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text(rules.notional_min),
            "applyMinToMarket": True,
            "maxNotional": text(rules.notional_max),
            "applyMaxToMarket": False,
            "avgPriceMins": minutes,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.orders_max},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": rules.algo_orders_max},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": rules.amendments_max},
    ]
