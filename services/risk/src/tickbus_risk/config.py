"""The limits of risk: none that guards money has a default, so forgetting one is an error."""

from decimal import Decimal

import msgspec


class Overrides(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other limits for one instrument or one strategy; what is not given stays as it is."""

    order_notional_max: Decimal | None = None
    position_notional_max: Decimal | None = None
    open_orders_max: int | None = None
    order_rate_per_s_max: int | None = None
    price_deviation_bps_max: Decimal | None = None
    market_data_age_ms_max: int | None = None

    def __post_init__(self) -> None:
        _refuse_negative(self)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that apply to one order; notionals in quote currency."""

    order_notional_max: Decimal
    position_notional_max: Decimal
    open_orders_max: int
    order_rate_per_s_max: int
    price_deviation_bps_max: Decimal
    market_data_age_ms_max: int


class RiskConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `risk`.

    `order_notional_max` bounds one order, `position_notional_max` a position with everything that
    works on its side, both in quote currency; `open_orders_max` and `order_rate_per_s_max` hold per
    strategy, `total_order_rate_per_s_max` for all together; `price_deviation_bps_max` is measured
    from the middle of the book, `market_data_age_ms_max` from its last update. A limit under
    `instruments` or `strategies` replaces the general one; given in both, the smaller holds.
    """

    order_notional_max: Decimal
    position_notional_max: Decimal
    open_orders_max: int
    order_rate_per_s_max: int
    total_order_rate_per_s_max: int
    price_deviation_bps_max: Decimal
    market_data_age_ms_max: int
    instruments: dict[str, Overrides] = {}
    strategies: dict[str, Overrides] = {}
    state_interval_s: float = 2.0

    def __post_init__(self) -> None:
        _refuse_negative(self)
        if self.state_interval_s <= 0:
            raise ValueError(f"state_interval_s = {self.state_interval_s}: must be above 0")

    def limits(self, strategy_id: str, instrument_id: str) -> Limits:
        """What applies to an order of `strategy_id` on `instrument_id`."""
        special = [
            found
            for found in (self.strategies.get(strategy_id), self.instruments.get(instrument_id))
            if found is not None
        ]
        values = {}
        for name in Limits.__struct_fields__:
            given = [value for s in special if (value := getattr(s, name)) is not None]
            values[name] = min(given) if given else getattr(self, name)
        return Limits(**values)


def _refuse_negative(limits: msgspec.Struct) -> None:
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        if not name.endswith("_max") or value is None:
            continue
        if not Decimal(value).is_finite() or value < 0:
            raise ValueError(f"{name} = {value}: a limit is a number of 0 or more")
