"""Orders that replace others: given what works, then what the new one adds is judged."""

from typing import Any

import msgspec

from tickbus.events import (
    OrderApproved,
    Recovered,
    SetTradingState,
    Side,
    TimeInForce,
    TradingState,
)
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_testkit.trading import LIMITS, D, S, a_fill, a_top, an_instrument, an_order, verdict


def a_core(**changes: Any) -> RiskCore:
    core = RiskCore(RiskConfig(**(LIMITS | changes)), {"sim": D("0.001")})
    for event in (an_instrument("BTC-USDT"), Recovered(S, S), a_top()):
        core.handle(event)
    return core


def holding_one(**changes: Any) -> RiskCore:
    core = a_core(**changes)
    bought = an_order(1)
    assert verdict(core, bought) == ""
    core.handle(a_fill(bought, 1))
    return core


def test_what_reduces_can_be_replaced_by_what_reduces() -> None:
    core = holding_one()
    for number, replaces in ((2, ""), (3, "pp-r-2")):
        order = an_order(number, Side.SELL, price=D(1010), reduce_only=True, replaces=replaces)
        assert verdict(core, order) == ""
    more = an_order(4, Side.SELL, "1.5", price=D(1010), reduce_only=True, replaces="pp-r-3")
    assert verdict(core, more).startswith("TRADING_REDUCING_ONLY")


def test_in_reducing_a_replacement_must_reduce_by_itself() -> None:
    core = holding_one()
    assert verdict(core, an_order(2, Side.SELL, "5", price=D(1010))) == ""
    core.handle(SetTradingState(S, S, TradingState.REDUCING, "x", "ann"))
    same = an_order(3, Side.SELL, "5", price=D(1005), replaces="pp-r-2")
    assert verdict(core, same) == "TRADING_REDUCING_ONLY limit=1 value=5 scope=global"


def test_a_replacement_is_no_further_working_order() -> None:
    core = a_core(open_orders_max=1)
    assert verdict(core, an_order(1, price=D(990))) == ""
    assert verdict(core, an_order(2, price=D(991), replaces="pp-r-1")) == ""


def test_an_order_is_replaced_once() -> None:
    core = a_core()
    assert verdict(core, an_order(1, price=D(990))) == ""
    assert verdict(core, an_order(2, price=D(991), replaces="pp-r-1")) == ""
    twice = verdict(core, an_order(3, price=D(992), replaces="pp-r-1"))
    assert twice == "REPLACED_ORDER_NOT_WORKING limit=working value=pp-r-1:PENDING_REPLACE"


def test_a_fee_in_the_base_asset_is_no_part_of_a_derivative_position() -> None:
    core = a_core()
    bought = an_order(1, instrument_id="BTC-USDT-PERP")
    core.handle(OrderApproved(S, S, bought))
    core.handle(a_fill(bought, 1, fee="0.01", asset="BTC"))
    order = an_order(2, Side.SELL, instrument_id="BTC-USDT-PERP", reduce_only=True)
    assert "TRADING_REDUCING_ONLY" not in verdict(core, order)


def test_what_is_split_over_venues_reduces_what_is_held_at_all_of_them() -> None:
    core = holding_one()
    core.handle(msgspec.structs.replace(an_instrument("BTC-USDT"), venue="smart"))
    core.handle(msgspec.structs.replace(a_top(), venue="smart"))
    terms = {"venue": "smart", "time_in_force": TimeInForce.IOC, "reduce_only": True}
    assert verdict(core, an_order(2, Side.SELL, "1.5", **terms)).startswith("TRADING_REDUCING_ONLY")
    assert verdict(core, an_order(3, Side.SELL, "1", **terms)) == ""
