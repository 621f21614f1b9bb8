"""The limits of risk: their names, the scopes in which each may be set, and which values are valid.

The configuration of risk and whoever changes a limit at run time share these, so that a value that
would be refused in a file is refused from a person too, in the same words.
"""

import difflib
from decimal import Decimal, InvalidOperation

import msgspec

GLOBAL = "global"
_MONEY = "an amount in quote currency of 0 or more"
_COUNT = "a whole number of 0 or more"
_NUMBER = "a number of 0 or more"


class LimitError(ValueError):
    """A limit cannot be what somebody wants it to be; the parts of why."""

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        super().__init__(f"{field} = {value}: {problem}; {remedy}")
        self.field = field
        self.value = value
        self.problem = problem
        self.remedy = remedy


class OrderLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other limits for the orders of one scope; what is not given stays as it is."""

    order_notional_max: Decimal | None = None
    position_notional_max: Decimal | None = None
    open_orders_max: int | None = None
    order_rate_per_s_max: int | None = None
    price_deviation_bps_max: Decimal | None = None
    market_data_age_ms_max: int | None = None

    def __post_init__(self) -> None:
        check_all(self)


class InstrumentLimits(OrderLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set for one instrument."""


class VenueLimits(OrderLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set for one venue, which is the account there."""

    gross_exposure_max: Decimal | None = None
    net_exposure_max: Decimal | None = None
    total_order_rate_per_s_max: int | None = None
    orders_per_fill_max: int | None = None


class StrategyLimits(OrderLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set for one strategy; without a loss limit of its own, that of all holds it."""

    gross_exposure_max: Decimal | None = None
    net_exposure_max: Decimal | None = None
    daily_loss_max: Decimal | None = None
    drawdown_max: Decimal | None = None
    profit_target: Decimal | None = None
    heartbeat_timeout_s: Decimal | None = None
    orders_per_fill_max: int | None = None


class GlobalLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for everything. None that guards money has a default; the last two guard none."""

    order_notional_max: Decimal
    position_notional_max: Decimal
    gross_exposure_max: Decimal
    net_exposure_max: Decimal
    open_orders_max: int
    order_rate_per_s_max: int
    total_order_rate_per_s_max: int
    price_deviation_bps_max: Decimal
    market_data_age_ms_max: int
    daily_loss_max: Decimal
    drawdown_max: Decimal
    heartbeat_timeout_s: Decimal
    profit_target: Decimal | None = None
    orders_per_fill_max: int | None = None


KINDS: dict[str, type[msgspec.Struct]] = {
    GLOBAL: GlobalLimits,
    "strategy": StrategyLimits,
    "venue": VenueLimits,
    "instrument": InstrumentLimits,
}
_COUNTS = frozenset(name for name in GlobalLimits.__struct_fields__ if name.endswith(("_ms_max",)))
_COUNTS |= {
    "open_orders_max", "order_rate_per_s_max", "total_order_rate_per_s_max", "orders_per_fill_max",
}  # fmt: skip
_NUMBERS = frozenset({"price_deviation_bps_max", "heartbeat_timeout_s"})
NAMES = GlobalLimits.__struct_fields__


def names_of(scope: str) -> tuple[str, ...]:
    """The limits that may be set in `scope` (`global` or `<kind>:<name>`). Raises LimitError."""
    kind, _, name = scope.partition(":")
    bad = any(c in ".*>" or c.isspace() or not c.isprintable() for c in name)
    if bad or kind not in KINDS or bool(name) is (kind == GLOBAL):
        raise LimitError(
            "scope", scope, "is no scope",
            "give global, strategy:<id>, venue:<name> or instrument:<id>",
        )  # fmt: skip
    return KINDS[kind].__struct_fields__


def check(scope: str, name: str, value: object) -> Decimal | None:
    """The value as a number, None for "as configured". Raises LimitError."""
    known = names_of(scope)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        problem = "cannot be set for " + scope if name in NAMES else "is no limit"
        raise LimitError("name", name, problem, hint)
    return None if value is None else checked(name, value)


def checked(name: str, value: object) -> Decimal:
    """`value` as what the limit `name` may be. Raises LimitError."""
    wanted = _COUNT if name in _COUNTS else _NUMBER if name in _NUMBERS else _MONEY
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    sane = number.is_finite() and number >= 0 and abs(number.adjusted()) < 18
    if name == "profit_target" and number == 0:
        raise LimitError(name, value, "would stop at once", "give an amount above 0, or none")
    if name == "orders_per_fill_max" and number == 0:
        raise LimitError(name, value, "would let no order pass", "give 1 or more, or none")
    if not sane or (name in _COUNTS and number != number.to_integral_value()):
        raise LimitError(name, value, "cannot be the limit", f"give {wanted}")
    return number


def check_all(limits: msgspec.Struct) -> None:
    """Every limit among the fields of `limits`. Raises LimitError, which is a ValueError."""
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        if name in NAMES and value is not None:
            checked(name, value)
