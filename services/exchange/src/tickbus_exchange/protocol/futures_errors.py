"""The futures' own error codes; some mean something else on spot."""

from tickbus_exchange.engine.futures_checks import FuturesRefusal as R
from tickbus_exchange.engine.futures_checks import Refused
from tickbus_exchange.engine.numbers import plain
from tickbus_exchange.protocol.errors import ApiError

_REFUSALS = {
    R.PRICE_BELOW_MIN: (-4013, "Price less than min price."),
    R.PRICE_ABOVE_MAX: (-4002, "Price greater than max price."),
    R.TICK_SIZE: (-4014, "Price not increased by tick size."),
    R.QUANTITY_BELOW_MIN: (-4004, "Quantity less than min quantity."),
    R.QUANTITY_ABOVE_MAX: (-4005, "Quantity greater than max quantity."),
    R.STEP_SIZE: (-4023, "Qty not increased by step size."),
    R.PRICE_TOO_HIGH: (-4016, "Limit price can't be higher than {}."),
    R.PRICE_TOO_LOW: (-4024, "Limit price can't be lower than {}."),
    R.MARKET_PRICE: (
        -4131,
        "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    ),
    R.MIN_NOTIONAL: (
        -4164,
        "Order's notional must be no smaller than {} (unless you choose reduce only).",
    ),
    R.MAX_OPEN_ORDERS: (-2025, "Reach max open order limit."),
    R.GOOD_TILL: (
        -5040,
        "The goodTillDate timestamp must be greater than the current time plus 600 seconds and"
        " smaller than 253402300799000.",
    ),
    R.DUPLICATE: (-4116, "ClientOrderId is duplicated."),
    R.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    R.MAX_POSITION: (-2027, "Exceeded the maximum allowable position at current leverage."),
    R.MARGIN: (-2019, "Margin is insufficient."),
    R.FOK: (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. The"
        " order will not be recorded in the order history.",
    ),
    R.POST_ONLY: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected."
        " The order will not be recorded in the order history.",
    ),
    R.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    R.LIMIT_ONLY: (-5025, "Only limit order is supported."),
    R.NO_CHANGE: (-5027, "No need to modify the order."),
    R.MAX_AMENDMENTS: (-5026, "Exceed maximum modify order limit."),
    R.WOULD_TRIGGER: (-2021, "Order would immediately trigger."),
    R.MAX_CONDITIONAL: (-4045, "Reach max stop order limit."),
    R.LEVERAGE: (-4028, "Leverage {} is not valid."),
    R.BALANCE: (-2018, "Balance is insufficient; {} can be moved."),
}


def refused(refusal: Refused) -> ApiError:
    """The desk said no."""
    code, message = _REFUSALS[refusal.reason]
    limit = str(refusal.limit) if refusal.reason is R.LEVERAGE else plain(refusal.limit)
    return ApiError(code, message.format(limit))


def too_precise() -> ApiError:
    """A price or quantity has more decimals than the symbol allows."""
    return ApiError(-1111, "Precision is over the maximum defined for this asset.")


def bad_client_id() -> ApiError:
    """A client order id is too long or has characters that none may have."""
    return ApiError(-4015, "Client order id is not valid; it must match ^[.A-Z:/a-z0-9_-]{1,36}$.")


def conditional() -> ApiError:
    """A conditional order was sent where plain ones go."""
    return ApiError(
        -4120,
        "Order type not supported for this endpoint. Please use the Algo Order API endpoints"
        " instead.",
    )


def not_trading() -> ApiError:
    """The symbol is halted; only cancels are taken."""
    return ApiError(-1122, "Invalid symbol status.")


def wrong_side() -> ApiError:
    """The order names a position side of hedge mode."""
    return ApiError(-4061, "Order's position side does not match user's setting.")


def no_change_of_side() -> ApiError:
    """The position mode is what was asked for."""
    return ApiError(-4059, "No need to change position side.")


def no_listen_key() -> ApiError:
    """The listen key is not, or no longer, known."""
    return ApiError(-1125, "This listenKey does not exist.")
