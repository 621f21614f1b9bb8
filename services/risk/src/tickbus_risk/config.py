"""The limits of risk: none that guards money has a default, so forgetting one is an error."""

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from tickbus.events import TradingState
from tickbus.limits import (
    GLOBAL,
    GlobalLimits,
    InstrumentLimits,
    OrderLimits,
    StrategyLimits,
    VenueLimits,
    check,
    check_all,
)

_SECTIONS = {"strategy": "strategies", "venue": "venues", "instrument": "instruments"}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that apply to one order; notionals in quote currency.

    `scopes` says of each whose it is: `global`, `strategy:pp`, ... `orders_per_fill` are the limits
    of that kind, each with its scope; all of them hold.
    """

    order_notional_max: Decimal
    position_notional_max: Decimal
    open_orders_max: int
    order_rate_per_s_max: int
    price_deviation_bps_max: Decimal
    market_data_age_ms_max: int
    scopes: dict[str, str]
    orders_per_fill: tuple[tuple[int, str], ...] = ()


class RiskConfig(GlobalLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `risk`.

    `order_notional_max` bounds one order, `position_notional_max` a position with everything that
    works on its side, `gross_exposure_max` and `net_exposure_max` everything held and working
    together, all in quote currency; `open_orders_max` and `order_rate_per_s_max` hold per strategy,
    `total_order_rate_per_s_max` for all together, `orders_per_fill_max` (if given) for orders let
    through per fill within ten minutes; `price_deviation_bps_max` is measured from the
    middle of the book, `market_data_age_ms_max` from its last update. `daily_loss_max`,
    `drawdown_max` and `profit_target` stop trading when net P&L (realised and unrealised, fees in)
    reaches them; `heartbeat_timeout_s` is how long a strategy may be silent before its orders are
    cancelled (0: for ever), `restart_grace_s` how long if its process said that it stops in order,
    or risk itself has just started. A limit of one order under `instruments`, `venues` or
    `strategies` replaces the general one (given in several, the smallest holds); one over many
    orders holds for that scope besides the general one.

    `balance_check`: whether an order must be covered by what the venue says is free. `self_trade`:
    deny an order that would meet one of our own, or leave that to the venue. `currency` is that of
    exposures and losses, `day_start_hour` (UTC) when a day's losses begin to count. `on_stop` is
    what a stop of everything leaves allowed, `flatten_on_stop` whether risk then also closes the
    positions.
    """

    balance_check: bool
    self_trade: Literal["deny", "venue"]
    strategies: dict[str, StrategyLimits] = msgspec.field(default_factory=dict)
    venues: dict[str, VenueLimits] = msgspec.field(default_factory=dict)
    instruments: dict[str, InstrumentLimits] = msgspec.field(default_factory=dict)
    currency: str = "USDT"
    day_start_hour: Annotated[int, msgspec.Meta(ge=0, le=23)] = 0
    on_stop: Literal["HALTED", "REDUCING"] = "HALTED"
    flatten_on_stop: bool = False
    restart_grace_s: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 60
    state_interval_s: float = 2.0
    watch_interval_ms: Annotated[int, msgspec.Meta(ge=10, le=10_000)] = 250

    def __post_init__(self) -> None:
        check_all(self)
        if self.state_interval_s <= 0:
            raise ValueError(f"state_interval_s = {self.state_interval_s}: must be above 0")

    @property
    def stopped_state(self) -> TradingState:
        """What `on_stop` says."""
        return TradingState[self.on_stop]

    def timeout_s(self, strategy_id: str, replaced: bool = False) -> Decimal:
        """For how long the strategy may be silent, while it is `replaced` or else; 0: for ever."""
        own = self.strategies.get(strategy_id)
        timeout = None if own is None else own.heartbeat_timeout_s
        timeout = self.heartbeat_timeout_s if timeout is None else timeout
        return max(timeout, Decimal(self.restart_grace_s)) if timeout and replaced else timeout

    def limits(self, strategy_id: str, venue: str, instrument_id: str) -> Limits:
        """What applies to an order of `strategy_id` on `instrument_id` at `venue`. Slow."""
        special: list[tuple[str, OrderLimits | None]] = [
            (f"strategy:{strategy_id}", self.strategies.get(strategy_id)),
            (f"venue:{venue}", self.venues.get(venue)),
            (f"instrument:{instrument_id}", self.instruments.get(instrument_id)),
        ]
        values: dict[str, Any] = {}
        scopes: dict[str, str] = {}
        for name in OrderLimits.__struct_fields__:
            given = [
                (value, scope)
                for scope, found in special
                if found is not None and (value := getattr(found, name)) is not None
            ]
            values[name], scopes[name] = min(given) if given else (getattr(self, name), GLOBAL)
        return Limits(**values, scopes=scopes, orders_per_fill=self._ratios(strategy_id, venue))

    def _ratios(self, strategy_id: str, venue: str) -> tuple[tuple[int, str], ...]:
        found = (
            (self, GLOBAL),
            (self.venues.get(venue), f"venue:{venue}"),
            (self.strategies.get(strategy_id), f"strategy:{strategy_id}"),
        )
        return tuple(
            (limits.orders_per_fill_max, scope)
            for limits, scope in found
            if limits is not None and limits.orders_per_fill_max is not None
        )

    def limit(self, scope: str, name: str) -> Decimal | None:
        """The limit as set in exactly this scope; None where it has none. Raises LimitError."""
        check(scope, name, None)
        kind, _, key = scope.partition(":")
        found = self if kind == GLOBAL else getattr(self, _SECTIONS[kind]).get(key)
        value = None if found is None else getattr(found, name)
        return None if value is None else Decimal(value)

    def with_limit(self, scope: str, name: str, value: Decimal | None) -> "RiskConfig":
        """The same with one limit changed. Raises LimitError, as for a value in a file."""
        number: Any = check(scope, name, value)
        if number is not None and name in _INTEGERS:
            number = int(number)
        kind, _, key = scope.partition(":")
        if kind == GLOBAL:
            return msgspec.structs.replace(self, **{name: number})
        section = dict(getattr(self, _SECTIONS[kind]))
        empty: Any = {"strategy": StrategyLimits, "venue": VenueLimits}.get(kind, InstrumentLimits)
        section[key] = msgspec.structs.replace(section.get(key) or empty(), **{name: number})
        return msgspec.structs.replace(self, **{_SECTIONS[kind]: section})

    def all_limits(self) -> list[tuple[str, str, Decimal | None]]:
        """(scope, name, value) of every limit that is set, the global ones first."""
        found = [
            (GLOBAL, name, self.limit(GLOBAL, name)) for name in GlobalLimits.__struct_fields__
        ]
        for kind, section in _SECTIONS.items():
            for key, limits in getattr(self, section).items():
                found += [
                    (f"{kind}:{key}", name, Decimal(value))
                    for name in limits.__struct_fields__
                    if (value := getattr(limits, name)) is not None
                ]
        return found


_INTEGERS = frozenset(
    {
        "open_orders_max",
        "order_rate_per_s_max",
        "total_order_rate_per_s_max",
        "orders_per_fill_max",
        "market_data_age_ms_max",
    }
)
