"""What is read of risk when somebody scrapes: who may trade, and how much of the limits is used."""

from collections.abc import Iterator

from tickbus.events import TradingState
from tickbus.runtime import Reading
from tickbus_risk.core import RiskCore

LEVELS = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}


def measure(core: RiskCore, _: int) -> Iterator[Reading]:
    """The trading state of each scope, working orders, and each limit with what is used of it."""
    # First, as it settles the approval that was given last.
    limits = list(core.usage()[0].limits()) if core.is_live else []
    for scope, state in core.standing().items():
        yield Reading("trading_state", LEVELS[state], {"scope": scope})
    yield Reading("working_orders", core.working_count)
    for each in limits:
        labels = {"scope": each.scope, "limit": each.name}
        yield Reading("limit", float(each.limit), labels)
        if each.used is not None:
            yield Reading("limit_used", float(each.used), labels)
