"""Reads new futures orders: parameters in, a checked wish out, Binance's complaint otherwise."""

import re

import msgspec

from tickbus_exchange.engine.book import Book
from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.futures_desk import FuturesDesk
from tickbus_exchange.engine.futures_types import (
    AlgoOrder,
    AlgoType,
    FuturesRequest,
    FuturesTif,
    FuturesType,
    WorkingType,
)
from tickbus_exchange.engine.numbers import SCALE
from tickbus_exchange.engine.orders import SelfTradePrevention, Side
from tickbus_exchange.protocol import errors, futures_errors, futures_render, params
from tickbus_exchange.protocol.errors import ApiError

Params = dict[str, str]
CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
CONDITIONAL = frozenset(t.value for t in AlgoType)
CALLBACK_MIN, CALLBACK_MAX = SCALE // 10, 10 * SCALE
"""Bounds of a trailing stop's rate, in 1e-8 percent."""
_LEVELS = {"": 1, "5": 5, "10": 10, "20": 20}


def one_symbol(rules: dict[str, SymbolRules], values: Params) -> str:
    """Return the mandatory symbol, known to exist."""
    symbol = params.symbol_text(params.required(values, "symbol"))
    if symbol not in rules:
        raise errors.bad_symbol()
    return symbol


def client_id(values: Params, name: str) -> str | None:
    """Return an optional client order id."""
    value = params.optional(values, name)
    if value is not None and CLIENT_ID.fullmatch(value) is None:
        raise futures_errors.bad_client_id()
    return value


def flag(values: Params, name: str) -> bool:
    """Return a switch, off by default."""
    value = values.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise errors.invalid(name)
    return value == "true"


def amount(values: Params, name: str, decimals: int) -> int | None:
    """Return an optional number in 1e-8 units with so many decimals at most."""
    value = params.amount(values, name)
    if value is not None and value % 10 ** (8 - decimals):
        raise futures_errors.too_precise()
    return value


def check_position_side(values: Params) -> None:
    """Refuse what only hedge mode has."""
    side = values.get("positionSide", "BOTH")
    if side in {"LONG", "SHORT"}:
        raise futures_errors.wrong_side()
    if side != "BOTH":
        raise ApiError(-4060, "Invalid position side.")


def _choices(values: Params) -> tuple[Side, SelfTradePrevention, WorkingType]:
    side = params.choice(Side, params.required(values, "side"), ApiError(-1117, "Invalid side."))
    stp = params.choice(
        SelfTradePrevention,
        values.get("selfTradePreventionMode", SelfTradePrevention.EXPIRE_MAKER),
        ApiError(-5039, "Invalid self trade prevention mode."),
    )
    working = params.choice(
        WorkingType, values.get("workingType", "CONTRACT_PRICE"), errors.invalid("workingType")
    )
    return side, stp, working


def _tif(values: Params) -> FuturesTif:
    bad = ApiError(-1115, "Invalid timeInForce.")
    return params.choice(FuturesTif, params.required(values, "timeInForce"), bad)


def _good_till(values: Params, tif: FuturesTif) -> int:
    """Return the date of a GTD order, cut to the second, 0 for any other."""
    date_ms = params.long(values, "goodTillDate")
    if tif is FuturesTif.GTD:
        if date_ms is None:
            raise errors.missing("goodTillDate")
        return date_ms // 1_000 * 1_000
    if date_ms:
        raise errors.not_required("goodTillDate")
    return 0


def matched_price(book: Book, side: Side, mode: str) -> int:
    """Return the price of the `mode`th level: OPPONENT of the other side, QUEUE of one's own."""
    kind, _, level = mode.partition("_")
    if kind not in {"OPPONENT", "QUEUE"} or level not in _LEVELS or mode.endswith("_"):
        raise ApiError(-5037, "Invalid price match.")
    ladder = book.opposite(side) if kind == "OPPONENT" else book.side(side)
    levels = ladder.top(_LEVELS[level])
    if len(levels) < _LEVELS[level]:
        raise ApiError(-5041, "No depth matches this BBO order.")
    return levels[-1][0]


def _quantity(values: Params, rules: SymbolRules) -> int:
    params.required(values, "quantity")
    quantity = amount(values, "quantity", futures_render.decimals(rules.step_size))
    if not quantity:
        raise ApiError(-4003, "Quantity less than or equal to zero.")
    return quantity


def _limit_price(values: Params, rules: SymbolRules, book: Book, side: Side) -> tuple[int, str]:
    """Return the price of a limit order, and how it was matched."""
    mode = values.get("priceMatch", "NONE")
    price = amount(values, "price", futures_render.price_precision(rules))
    if mode != "NONE":
        if price is not None:
            raise errors.not_required("price")
        return matched_price(book, side, mode), mode
    if price is None:
        raise errors.missing("price")
    if price == 0:
        raise ApiError(-4001, "Price less than 0.")
    return price, mode


def new_order(values: Params, desk: FuturesDesk, book_of: dict[str, Book]) -> FuturesRequest:
    """Read a plain order."""
    symbol = one_symbol(desk.rules, values)
    rules = desk.rules[symbol]
    side, stp, working = _choices(values)
    check_position_side(values)
    kind_text = params.required(values, "type")
    if kind_text in CONDITIONAL:
        raise futures_errors.conditional()
    if kind_text not in {"LIMIT", "MARKET"}:
        raise ApiError(-1116, "Invalid orderType.")
    if flag(values, "closePosition"):
        message = f"Target strategy invalid for orderType {kind_text}, closePosition true."
        raise ApiError(-4136, message)
    unwanted = ["stopPrice", "activationPrice", "callbackRate"]
    kind = FuturesType(kind_text)
    if kind is FuturesType.MARKET:
        unwanted += ["price", "timeInForce", "goodTillDate"]
    for name in unwanted:
        if name in values:
            raise errors.not_required(name)
    tif, price, mode = FuturesTif.GTC, 0, "NONE"
    if kind is FuturesType.LIMIT:
        tif = _tif(values)
        price, mode = _limit_price(values, rules, book_of[symbol], side)
    elif values.get("priceMatch", "NONE") != "NONE":
        message = "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT."
        raise ApiError(-5038, message)
    return FuturesRequest(
        symbol=symbol, side=side, type=kind, quantity=_quantity(values, rules), price=price,
        time_in_force=tif, client_order_id=client_id(values, "newClientOrderId") or "",
        reduce_only=flag(values, "reduceOnly"), stp=stp, good_till_ms=_good_till(values, tif),
        price_match=mode, working_type=working,
    )  # fmt: skip


def new_algo(
    values: Params, desk: FuturesDesk, book_of: dict[str, Book], algo_id: int, now_ms: int
) -> AlgoOrder:
    """Read a conditional order."""
    if params.required(values, "algoType") != "CONDITIONAL":
        raise errors.invalid("algoType")
    symbol = one_symbol(desk.rules, values)
    rules = desk.rules[symbol]
    side, stp, working = _choices(values)
    check_position_side(values)
    kind = params.choice(
        AlgoType, params.required(values, "type"), ApiError(-1116, "Invalid orderType.")
    )
    price, mode, tif = 0, "NONE", FuturesTif.GTC
    if kind in {AlgoType.STOP, AlgoType.TAKE_PROFIT}:
        price, mode = _limit_price(values, rules, book_of[symbol], side)
        tif = _tif(values) if "timeInForce" in values else FuturesTif.GTC
    elif "price" in values:
        raise errors.not_required("price")
    closes, reduces = flag(values, "closePosition"), flag(values, "reduceOnly")
    quantity = _algo_quantity(values, rules, kind, closes=closes, reduces=reduces)
    precision = futures_render.price_precision(rules)
    trigger = amount(values, "triggerPrice", precision) or 0
    callback, activation = 0, 0
    if kind is AlgoType.TRAILING_STOP_MARKET:
        callback, activation = _trail(values, precision)
        trigger = 0
    elif not trigger:
        raise errors.missing("triggerPrice")
    return AlgoOrder(
        algo_id=algo_id, client_algo_id=client_id(values, "clientAlgoId") or f"algo-{algo_id}",
        symbol=symbol, side=side, type=kind, quantity=quantity, price=price,
        trigger_price=trigger, time_in_force=tif, working_type=working, stp=stp,
        create_ms=now_ms, update_ms=now_ms, close_position=closes, reduce_only=reduces,
        price_protect=flag(values, "priceProtect"), callback_rate=callback,
        activate_price=activation, is_active=not activation,
        good_till_ms=_good_till(values, tif), price_match=mode,
    )  # fmt: skip


def _algo_quantity(
    values: Params, rules: SymbolRules, kind: AlgoType, *, closes: bool, reduces: bool
) -> int:
    if not closes:
        return _quantity(values, rules)
    if kind not in {AlgoType.STOP_MARKET, AlgoType.TAKE_PROFIT_MARKET}:
        message = f"Target strategy invalid for orderType {kind.value}, closePosition true."
        raise ApiError(-4136, message)
    if "quantity" in values:
        raise ApiError(-4138, "Quantity must be zero with closePosition equals true.")
    if reduces:
        raise errors.not_required("reduceOnly")
    return 0


def _trail(values: Params, precision: int) -> tuple[int, int]:
    """Return (callback rate, activation price) of a trailing stop."""
    params.required(values, "callbackRate")
    callback = params.amount(values, "callbackRate") or 0
    if not CALLBACK_MIN <= callback <= CALLBACK_MAX:
        raise ApiError(-2007, "Invalid callBack rate.")
    name = "activatePrice" if "activatePrice" in values else "activationPrice"
    return callback, amount(values, name, precision) or 0


def json_list(values: Params, name: str, kind: type, most: int) -> list[object]:
    """Return a parameter that is a JSON list of 1 to `most` items."""
    try:
        items: list[object] = msgspec.json.decode(params.required(values, name), type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise errors.invalid(name) from None
    if not 1 <= len(items) <= most:
        raise ApiError(-4082, "Invalid number of batch place orders.")
    return items
