"""How far back futures queries reach: seven days at a time, three months in all."""

from tickbus_exchange.engine.futures_types import FuturesOrder
from tickbus_exchange.engine.orders import OrderStatus
from tickbus_exchange.protocol import params
from tickbus_exchange.protocol.errors import ApiError

DAY_MS = 86_400_000
WINDOW_MS = 7 * DAY_MS
HISTORY_MS = 90 * DAY_MS
UNFILLED_MS = 3 * DAY_MS
"""How long an order that ended unfilled can be asked for."""
_UNFILLED = frozenset({OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.EXPIRED_IN_MATCH})


def window(values: dict[str, str], now_ms: int) -> tuple[int, int, bool]:
    """Return (start, end) in ms, and whether the oldest come first when there are too many."""
    start, end = params.long(values, "startTime"), params.long(values, "endTime")
    if start is not None and start < now_ms - HISTORY_MS - DAY_MS:
        raise ApiError(-4166, "Search window is restricted to recent 90 days only.")
    if start is None:
        end = now_ms if end is None else end
        return end - WINDOW_MS, end, False
    if end is None:
        return start, start + WINDOW_MS, True
    if end < start:
        raise ApiError(-4088, "Start time is greater than end time.")
    if end - start > WINDOW_MS:
        raise ApiError(-4165, "Invalid time interval, maximum valid value is 7 days.")
    return start, end, True


def is_forgotten(order: FuturesOrder, now_ms: int) -> bool:
    """Whether the venue no longer tells of an order that has ended."""
    if order.is_live:
        return False
    unfilled = order.status in _UNFILLED and not order.filled
    return now_ms - order.time_ms > (UNFILLED_MS if unfilled else HISTORY_MS)
