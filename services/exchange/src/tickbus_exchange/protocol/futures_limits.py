"""Futures rate limits: weight per address and minute, orders per 10 seconds and per minute."""

from tickbus_exchange.config import FuturesConfig, RateLimits
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.limits import MINUTE_MS, TEN_SECONDS_MS, Limiter, Window
from tickbus_exchange.venue import USER


class FuturesLimiter(Limiter):
    """Counts apart from spot; every order counts, filled or not."""

    def __init__(self, config: FuturesConfig) -> None:
        super().__init__(RateLimits(weight_per_minute_max=config.weight_per_minute_max))
        self._config = config

    def _windows(self, account_id: str) -> tuple[Window, Window]:
        """Return the account's windows of 10 seconds and of a minute."""
        windows = self._orders.get(account_id)
        if windows is None:
            windows = self._orders[account_id] = (Window(TEN_SECONDS_MS), Window(MINUTE_MS))
        return windows

    def check_orders(self, now_ms: int, account_id: str = USER) -> None:
        """Raise ApiError -1015 where one more order of the account would be too many."""
        ten_seconds, minute = self._windows(account_id)
        for window, limit, name in (
            (ten_seconds, self._config.orders_per_10s_max, "10 SECOND"),
            (minute, self._config.orders_per_minute_max, "1 MINUTE"),
        ):
            if window.add(0, now_ms) >= limit:
                message = f"Too many new orders; current limit is {limit} orders per {name}."
                left = window.seconds_left(now_ms)
                raise ApiError(-1015, message, 429, retry_after_s=left)

    def count_batch(self, now_ms: int, account_id: str, orders: int) -> None:
        """Count a batch: each order in the ten seconds, all of them as one in the minute."""
        ten_seconds, minute = self._windows(account_id)
        ten_seconds.add(orders, now_ms)
        minute.add(1, now_ms)

    def describe(self) -> list[dict[str, object]]:
        """Return exchangeInfo's `rateLimits`."""
        config = self._config
        return [
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
            for kind, interval, number, limit in (
                ("REQUEST_WEIGHT", "MINUTE", 1, config.weight_per_minute_max),
                ("ORDERS", "SECOND", 10, config.orders_per_10s_max),
                ("ORDERS", "MINUTE", 1, config.orders_per_minute_max),
            )
        ]
