"""Risk cores that several test files begin with: all limits wide, or one strategy at a loss."""

from typing import Any

from tickbus.events import Event, Instrument, Recovered
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_testkit.trading import LIMITS, D, S, a_fill, a_top, an_instrument, an_order, tick


def a_config(**changes: Any) -> RiskConfig:
    return RiskConfig(**(LIMITS | changes))


def a_core(*events: Event | Instrument, fee: str = "0.001", **changes: Any) -> RiskCore:
    core = RiskCore(a_config(**changes), {"sim": D(fee)})
    instruments = (an_instrument("BTC-USDT"), an_instrument("ETH-USDT"))
    market = (a_top(), a_top("ETH-USDT"))
    for event in (*instruments, *events, Recovered(S, S), *market):
        core.handle(event)
    return core


def a_loser(**changes: Any) -> RiskCore:
    """A core whose strategy pp has bought 1 BTC at 1000 for a fee of 1, and works one order."""
    core = a_core(**changes)
    tick(core, S)
    bought = an_order(91)
    core.handle(bought)
    core.handle(a_fill(bought, 1, fee="1"))
    core.handle(an_order(92, price=D(990)))
    return core
