"""What control over strategies speaks of: one that is hosted, and what is said of it at home."""

from collections.abc import Mapping
from typing import Protocol

from tickbus.events import (
    Event,
    Instrument,
    StrategyChanged,
    StrategyPhase,
    StrategyState,
    StrategyTerms,
)
from tickbus_strategy.core import Seat
from tickbus_strategy.desk import Desk
from tickbus_strategy.making import Refused
from tickbus_strategy.quiet import Quiet


class Hearing(Event, frozen=True):
    """The subjects that are of use to somebody now; never on the bus."""

    subjects: tuple[str, ...]


class ChangeNoted(Event, frozen=True):
    """A change was put on record, for who says it aloud; never on the bus."""

    change: StrategyChanged


class MakesSeats(Protocol):
    """See `making.Maker`."""

    def desk(self, strategy_id: str) -> Desk | None:
        """A new desk; None for an id that is not ours."""
        ...

    def seats(
        self, terms: StrategyTerms, desk: Desk,
        instruments: Mapping[tuple[str, str], Instrument] | None = None,
    ) -> list[Seat]:  # fmt: skip
        """Instances for `terms` at `desk`. Raises Refused."""
        ...


class Hosted:
    """One strategy: who sits at its desk, in which phase, by which terms."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.phase = StrategyPhase.STOPPED
        self.terms: StrategyTerms | None = None
        self.seats: list[Seat] = []
        self.error = ""
        self.quiet: Quiet | None = None
        self.ended = StrategyPhase.STOPPED
        """The phase once all is quiet and nobody sits here."""
        self.said: StrategyState | None = None

    def news(self, revision: int) -> StrategyState | None:
        """Where it is now, without a time; None where that was said before."""
        self.phase = self.ended
        if self.seats:
            ready = self.quiet is None and all(seat.started for seat in self.seats)
            self.phase = StrategyPhase.RUNNING if ready else StrategyPhase.STARTING
        elif self.quiet is not None and self.ended is StrategyPhase.STOPPED:
            self.phase = StrategyPhase.STOPPING
        kind = self.terms.kind if self.terms else ""
        state = StrategyState(0, 0, self.desk.strategy_id, self.phase, kind, revision, self.error)
        if state == self.said:
            return None
        self.said = state
        return state

    @property
    def is_vacant(self) -> bool:
        """Whether nothing was ever run here, and nothing is left of anything."""
        desk = self.desk
        idle = self.terms is None and not self.seats and self.quiet is None
        return idle and not len(desk.orders) and not any(p.quantity for p in desk.portfolio)


def require_deletable(
    hosted: Hosted, configured: bool, instruments: Mapping[tuple[str, str], Instrument]
) -> None:
    """Raise Refused where the id of `hosted` cannot be given up, as something hangs on it."""
    desk = hosted.desk
    problem, remedy = "", ""
    if configured:
        problem, remedy = "the configuration names it", "take it out there, and start again"
    elif hosted.seats or hosted.quiet is not None:
        problem, remedy = f"it is {hosted.phase}", "stop it first, and wait until it is STOPPED"
    elif any(desk.orders.living()):
        problem, remedy = "orders of it work", "stop it, and wait until it is STOPPED"
    elif desk.untold():
        problem, remedy = "fills of its last orders are still to be told", "repeat in a minute"
    elif held := Quiet(desk, instruments, closes=True).holdings:
        problem, remedy = f"it holds {held}", "flatten it first"
    if problem:
        raise Refused("strategy", desk.strategy_id, problem, remedy)
