"""What strategies are wanted to do, and the record of what became of such wishes."""

from enum import StrEnum
from typing import Any

import msgspec

from tickbus.events.base import Event


class StrategyTerms(msgspec.Struct, frozen=True, array_like=True):
    """What one strategy id is to run.

    `kind`: a registered name or `file.py:Class`. `instruments`: canonical ids. `venue`: the main
    one where empty; a strategy that spans markets has `venues` in its place. `params`: as in a
    configuration file; numbers may be strings, which keeps them exact.
    """

    kind: str
    instruments: tuple[str, ...]
    params: dict[str, Any] = {}
    is_running: bool = True
    venue: str = ""
    venues: tuple[str, ...] = ()


class SetStrategy(Event, frozen=True):
    """The desired state of one strategy, kept in the bucket `strategies` under its id.

    `revision` counts up with each wish for an id; that of a configuration file is 0. `terms` None
    means what the files say. With `flatten` what it holds is closed, once, at this revision. With
    `deletes` the id is given up; `terms` are those of before then.
    """

    strategy_id: str
    revision: int
    terms: StrategyTerms | None
    actor: str
    reason: str
    flatten: bool = False
    deletes: bool = False


class StrategyOutcome(StrEnum):
    """What became of a wish, or of a strategy.

    APPLIED: it holds from now on. REFUSED: nothing changed. FAILED: the strategy raised and was
    stopped. QUIET: the cancelling and closing that a wish or a failure led to is over.
    """

    APPLIED = "APPLIED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    QUIET = "QUIET"


class StrategyChanged(Event, frozen=True):
    """Who changed what a strategy does, from what, to what and why; on record for ever.

    `before` is None where nothing was known of the id, `after` where it is what the files say.
    `problem` says why it was refused or failed, or what could not be closed. Of what is APPLIED or
    REFUSED `ts_recv` is that of the wish. `deleted`: the wish was to give the id up.
    """

    strategy_id: str
    revision: int
    outcome: StrategyOutcome
    before: StrategyTerms | None
    after: StrategyTerms | None
    actor: str
    reason: str
    flatten: bool = False
    problem: str = ""
    deleted: bool = False


class StrategyPhase(StrEnum):
    """Where a strategy is.

    STARTING: it is told of the market but may not order yet, because an instrument is not known, or
    orders of before are being cancelled, or positions closed. STOPPING: it is told nothing more and
    its orders are being cancelled. STOPPED: none works. FAILED: it raised, and its orders are
    being cancelled or have been.
    """

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


class StrategyState(Event, frozen=True):
    """Where a strategy is, said at each change."""

    strategy_id: str
    phase: StrategyPhase
    kind: str
    revision: int
    error: str = ""


LifecycleEvent = StrategyChanged | StrategyState
