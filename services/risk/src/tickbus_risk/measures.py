"""What is read of risk when somebody scrapes: who may trade, and how much of the limits is used."""

from collections.abc import Iterator

from tickbus.events import TradingState
from tickbus.runtime import Context, Reading
from tickbus_risk.core import RiskCore

SCOPES_STOPPED, TRADING = "scopes_stopped", "trading"
"""What the status tells: strategies that may not trade, and whether everything may (`LEVELS`)."""
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


class Standing:
    """Has the answer on risk's status say who may not trade, for whoever asks how things are."""

    def __init__(self, core: RiskCore) -> None:
        self._core = core

    async def start(self, context: Context) -> None:
        """Tell it from now on."""
        context.telemetry.told.append(self._read)

    async def stop(self) -> None:
        """Nothing to close."""

    def _read(self) -> Iterator[Reading]:
        everything, *others = self._core.standing().values()
        yield Reading(TRADING, LEVELS[everything])
        yield Reading(SCOPES_STOPPED, sum(state is not TradingState.ACTIVE for state in others))
