"""From where losses are measured, and which limit on them a scope has reached.

Each scope has a track: its net P&L when the day began and its highest since the last resume. Both
go on record (`PnlRecorded`) when they move, because they depend on marks that no fill tells: after
a crash the record gives them back.
"""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from tickbus.events import GLOBAL, Event, PnlRecorded, StopCause
from tickbus_risk.config import RiskConfig
from tickbus_risk.exposure import Exposures, sub
from tickbus_risk.snapshot import TrackMemory

ZERO = Decimal(0)
HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
RECORD_PART = Decimal("0.01")
"""A new peak goes on record once it is higher by this part of the limit on the drawdown."""


class Track(msgspec.Struct, kw_only=True):
    """Where the losses of one scope are measured from; `recorded` is the peak that is on record.

    `judged` is the P&L, by identity, that was found to be within the limits of `config`.
    """

    day: int
    day_start: Decimal
    peak: Decimal
    recorded: Decimal | None = None
    judged: Decimal | None = None
    config: RiskConfig | None = None


class Breach(NamedTuple):
    """A limit that a scope has reached; `name` is the limit's."""

    cause: StopCause
    name: str
    limit: Decimal
    value: Decimal


class Losses:
    """The tracks of all scopes over the P&L that `exposures` keep."""

    def __init__(self, exposures: Exposures) -> None:
        self._exposures = exposures
        self.tracks: dict[str, Track] = {}
        self.trusted = False
        """Whether the P&L is known well enough to refuse orders by it."""

    def snapshot(self) -> list[TrackMemory]:
        """Every track that is on record."""
        return [
            TrackMemory(scope, track.day, track.day_start, track.peak, track.recorded)
            for scope, track in self.tracks.items()
        ]

    def restore(self, tracks: list[TrackMemory]) -> None:
        """Measure from what `tracks` say."""
        self.tracks = {
            t.scope: Track(day=t.day, day_start=t.day_start, peak=t.peak, recorded=t.recorded)
            for t in tracks
        }

    def day_of(self, now_ns: int, config: RiskConfig) -> int:
        """The trading day, days since 1970."""
        return (now_ns - config.day_start_hour * HOUR_NS) // DAY_NS

    def begin(self, now_ns: int, config: RiskConfig) -> None:
        """History is over: what has traded and is not on record is measured from here."""
        day = self.day_of(now_ns, config)
        for scope in self._scopes():
            pnl = self._exposures.sums(scope).pnl
            self.tracks.setdefault(scope, Track(day=day, day_start=pnl, peak=pnl))

    def fold(self, event: PnlRecorded) -> None:
        """What an earlier process put on record."""
        self.tracks[event.scope] = Track(
            day=event.day, day_start=event.day_start, peak=event.peak, recorded=event.peak
        )

    def move(self, now_ns: int, config: RiskConfig) -> None:
        """A day may have begun, a peak may have risen, a strategy may have traded first."""
        day = self.day_of(now_ns, config)
        for scope in self._scopes():
            pnl = self._exposures.sums(scope).pnl
            track = self.tracks.get(scope)
            if track is None:  # its first fill while we watch: it began with nothing
                track = self.tracks[scope] = Track(day=day, day_start=ZERO, peak=ZERO)
            if day > track.day:
                track.day, track.day_start, track.recorded = day, pnl, None
                track.judged = None
            track.peak = max(track.peak, pnl)

    def restart(self, scope: str, now_ns: int, config: RiskConfig) -> None:
        """Somebody resumed the scope: its losses count from here."""
        pnl = self._exposures.sums(scope).pnl
        day = self.day_of(now_ns, config)
        self.tracks[scope] = Track(day=day, day_start=pnl, peak=pnl)

    def records(self, event: Event, config: RiskConfig) -> list[PnlRecorded]:
        """What should go on record now."""
        out = []
        for scope, track in self.tracks.items():
            limit = _limit(config, scope, "drawdown_max")
            if limit is None:
                limit = config.drawdown_max
            step = RECORD_PART * limit
            if track.recorded is not None and track.peak - track.recorded <= step:
                continue
            track.recorded = track.peak
            pnl = self._exposures.sums(scope).pnl
            out.append(
                PnlRecorded(
                    event.ts_event, event.ts_recv, scope, track.day, pnl, track.day_start,
                    track.peak,
                )
            )  # fmt: skip
        return out

    def day_pnl(self, scope: str) -> Decimal:
        """Net P&L since the day, or the last resume, began."""
        track = self.tracks.get(scope)
        pnl = self._exposures.sums(scope).pnl
        return pnl if track is None else sub(pnl, track.day_start)

    def drawdown(self, scope: str) -> Decimal:
        """How far net P&L is below its highest since the last resume; 0 or more."""
        track = self.tracks.get(scope)
        # Before its first second is over a scope has no track: it began with nothing.
        peak = ZERO if track is None else track.peak
        return max(ZERO, sub(peak, self._exposures.sums(scope).pnl))

    def breach(self, scope: str, config: RiskConfig) -> Breach | None:
        """The limit that the scope has reached, by its P&L now."""
        track, pnl = self.tracks.get(scope), self._exposures.sums(scope).pnl
        if track is not None and track.judged is pnl and track.config is config:
            return None  # nothing has changed since: most orders end here
        breach = self._breach(scope, config)
        if track is not None and breach is None:
            track.judged, track.config = pnl, config
        return breach

    def _breach(self, scope: str, config: RiskConfig) -> Breach | None:
        day_pnl = self.day_pnl(scope)
        limit = _limit(config, scope, "daily_loss_max")
        if limit is not None and -day_pnl > limit:
            return Breach(StopCause.DAILY_LOSS, "daily_loss_max", limit, -day_pnl)
        limit = _limit(config, scope, "drawdown_max")
        if limit is not None and (drawdown := self.drawdown(scope)) > limit:
            return Breach(StopCause.DRAWDOWN, "drawdown_max", limit, drawdown)
        limit = _limit(config, scope, "profit_target")
        if limit is not None and day_pnl >= limit:
            return Breach(StopCause.PROFIT_TARGET, "profit_target", limit, day_pnl)
        return None

    def _scopes(self) -> list[str]:
        return [s for s in self._exposures.scopes() if s == GLOBAL or s.startswith("strategy:")]


def _limit(config: RiskConfig, scope: str, name: str) -> Decimal | None:
    # On the way of every order: no check of names here.
    if scope == GLOBAL:
        value: Decimal | None = getattr(config, name)
        return value
    own = config.strategies.get(scope[9:])
    return None if own is None else getattr(own, name)
