"""Rate limits: request weight per address and minute, orders per 10 seconds and day."""

from collections.abc import Container, Sequence

from tickbus_exchange.config import RateLimits
from tickbus_exchange.engine.orders import ExecutionType, Report, Trade
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.tape import AggTrade
from tickbus_exchange.venue import USER

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
DAY_MS = 86_400_000
WARNINGS_MAX = 20
"""Requests after a 429, before the minute is over, that turn it into a ban (418)."""
BAN_MS = 120_000
ADDRESSES_MAX = 10_000
MAKER_FILL_WORTH = 5
"""Unfilled orders that the first fill of a resting order takes off the count."""


class Window:
    """A count that starts anew with every interval of the clock."""

    __slots__ = ("count", "interval_ms", "start")

    def __init__(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self.start = 0
        self.count = 0

    def add(self, amount: int, now_ms: int) -> int:
        """Count so much more and return the count of this interval."""
        start = now_ms - now_ms % self.interval_ms
        if start != self.start:
            self.start, self.count = start, 0
        self.count += amount
        return self.count

    def seconds_left(self, now_ms: int) -> int:
        """Return how long this interval goes on, rounded up."""
        return -(-(self.interval_ms - now_ms % self.interval_ms) // 1_000)


class _Address:
    __slots__ = ("banned_until_ms", "limited_until_ms", "warnings", "weight")

    def __init__(self) -> None:
        self.weight = Window(MINUTE_MS)
        self.limited_until_ms = 0
        self.warnings = 0
        self.banned_until_ms = 0


class Limiter:
    """Counts what is asked; raises ApiError 429 above a limit, 418 when that is ignored."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self._addresses: dict[str, _Address] = {}
        self._orders: dict[str, tuple[Window, Window]] = {}
        """Windows of 10 seconds and of a day, by account."""

    def _windows(self, account_id: str) -> tuple[Window, Window]:
        windows = self._orders.get(account_id)
        if windows is None:
            windows = self._orders[account_id] = (Window(TEN_SECONDS_MS), Window(DAY_MS))
        return windows

    def spend(self, address: str, weight: int, now_ms: int) -> int:
        """Charge `weight` to `address` and return its total this minute."""
        account = self._account(address)
        if account.banned_until_ms > now_ms:
            raise self._banned(account, now_ms)
        used = account.weight.add(weight, now_ms)
        limit = self._limits.weight_per_minute_max
        limited_ms = account.limited_until_ms - now_ms
        if used <= limit and limited_ms <= 0:
            account.warnings = 0
            return used
        account.warnings += 1
        if account.warnings > WARNINGS_MAX:
            self.ban(address, BAN_MS, now_ms)
        left_s = -(-limited_ms // 1_000) if limited_ms > 0 else account.weight.seconds_left(now_ms)
        raise ApiError(
            -1003,
            f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
            429,
            retry_after_s=left_s,
        )

    def _account(self, address: str) -> _Address:
        account = self._addresses.get(address)
        if account is None:
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.clear()
            account = self._addresses[address] = _Address()
        return account

    def throttle(self, address: str, for_ms: int, now_ms: int) -> None:
        """Answer `address` 429 for so long; who goes on regardless is banned. Raises the first."""
        self._account(address).limited_until_ms = now_ms + for_ms
        self.spend(address, 0, now_ms)

    def ban(self, address: str, for_ms: int, now_ms: int) -> None:
        """Answer `address` 418 for so long. Raises the first."""
        account = self._account(address)
        account.banned_until_ms = now_ms + for_ms
        account.warnings = 0
        raise self._banned(account, now_ms)

    def _banned(self, account: _Address, now_ms: int) -> ApiError:
        return ApiError(
            -1003,
            f"Way too much request weight used; IP banned until {account.banned_until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans.",
            418,
            retry_after_s=(account.banned_until_ms - now_ms) // 1_000 + 1,
        )

    def used(self, address: str, now_ms: int) -> int:
        """Return the weight `address` used this minute."""
        account = self._addresses.get(address)
        return account.weight.add(0, now_ms) if account is not None else 0

    def check_orders(self, now_ms: int, account_id: str = USER) -> None:
        """Raise ApiError -1015 where one more order of the account would be too many."""
        limits = self._limits
        ten_seconds, day = self._windows(account_id)
        for window, limit, name in (
            (ten_seconds, limits.orders_per_10s_max, "10 SECOND"),
            (day, limits.orders_per_day_max, "1 DAY"),
        ):
            if window.add(0, now_ms) >= limit:
                message = f"Too many new orders; current limit is {limit} orders per {name}."
                left = window.seconds_left(now_ms)
                raise ApiError(-1015, message, 429, retry_after_s=left)

    def count_order(self, now_ms: int, account_id: str = USER) -> None:
        """Count an order that did not fill at once."""
        for window in self._windows(account_id):
            window.add(1, now_ms)

    def give_back(self, orders: int, now_ms: int, account_id: str) -> None:
        """Forget so many unfilled orders of the account, as far as there are any."""
        for window in self._windows(account_id):
            window.add(-min(orders, window.add(0, now_ms)), now_ms)

    def orders(self, now_ms: int, account_id: str = USER) -> tuple[int, int]:
        """Return the account's order counts of these 10 seconds and of this day."""
        ten_seconds, day = self._windows(account_id)
        return ten_seconds.add(0, now_ms), day.add(0, now_ms)

    def describe(self) -> list[dict[str, object]]:
        """Return exchangeInfo's `rateLimits`."""
        limits = self._limits
        return [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute_max),
            _limit("ORDERS", "SECOND", 10, limits.orders_per_10s_max),
            _limit("ORDERS", "DAY", 1, limits.orders_per_day_max),
            _limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ]

    def usage(
        self, address: str, now_ms: int, *, orders: bool, account_id: str = USER
    ) -> list[dict[str, object]]:
        """Return the `rateLimits` of a WebSocket API answer, with counts."""
        weight, ten, day = self.describe()[:3]
        if not orders:
            return [weight | {"count": self.used(address, now_ms)}]
        ten_seconds, days = self.orders(now_ms, account_id)
        return [ten | {"count": ten_seconds}, day | {"count": days}]


class FirstFills:
    """Gives orders back that begin to trade: an Observer of the venue.

    An order that fills at once is never counted, so what is left are fills as maker, and those of
    stop orders once they are triggered.
    """

    def __init__(self, limiter: Limiter, accounts: Container[str]) -> None:
        self._limiter = limiter
        self._accounts = accounts

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Look for first fills."""
        for r in reports:
            is_first = r.execution_type is ExecutionType.TRADE and r.filled == r.last_quantity
            if is_first and r.account_id in self._accounts and (r.is_maker or r.stop_price):
                worth = MAKER_FILL_WORTH if r.is_maker else 1
                self._limiter.give_back(worth, r.transact_ms, r.account_id)

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        """Public trades do not count."""

    def on_book(self, symbol: str) -> None:
        """Nor do books."""


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, object]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
