"""What is read of the strategies of a process when somebody scrapes."""

from collections import Counter
from collections.abc import Iterator

from tickbus.events import StrategyPhase
from tickbus.runtime import Reading
from tickbus_strategy.lifecycle import Lifecycle


def measure(lifecycle: Lifecycle, _: int) -> Iterator[Reading]:
    """How many are in each phase, and for each whether it runs and how many orders it works."""
    hosted = lifecycle.hosted
    phases = Counter(each.phase for each in hosted.values())
    for phase in StrategyPhase:
        yield Reading("strategies", phases[phase], {"phase": phase.value})
    for name, each in hosted.items():
        yield Reading("running", each.phase is StrategyPhase.RUNNING, {"strategy": name})
        working = sum(1 for _ in each.desk.orders.working())
        yield Reading("working_orders", working, {"strategy": name})
