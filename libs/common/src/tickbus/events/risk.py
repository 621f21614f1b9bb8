"""What risk is told to enforce, and the record of what it did: limits, stops, heartbeats."""

from decimal import Decimal

import msgspec

from tickbus.events.base import Event, Explanation
from tickbus.events.control import TradingState

GLOBAL = "global"
"""The scope of everything together; the others are `strategy:<id>`, `venue:<name>` (the account
there) and `instrument:<id>`."""


class SetLimit(Event, frozen=True):
    """The desired value of one limit, kept in the bucket `limits`; None is that of the files."""

    scope: str
    name: str
    value: Decimal | None
    actor: str
    reason: str


class Heartbeat(Event, frozen=True):
    """A strategy (or risk itself, strategy id `risk`) is alive; said every second, never stored.

    `leaves`: the last word of a process that stops in order, as it does when it is replaced.
    """

    strategy_id: str
    leaves: bool = False


class StopCause(Explanation):
    """Why a trading state was changed."""

    MANUAL = "MANUAL"
    DAILY_LOSS = "DAILY_LOSS"
    DRAWDOWN = "DRAWDOWN"
    PROFIT_TARGET = "PROFIT_TARGET"
    OVERFILL = "OVERFILL"

    @classmethod
    def vaguest(cls) -> "StopCause":
        """What stands for a value of a newer version: a stop that only a person ends."""
        return cls.MANUAL


class RiskAudit(Event, frozen=True):
    """The base of what risk puts on record, for ever, in the ORDERS stream."""

    scope: str

    @property
    def audit_id(self) -> str:
        """What tells it from every other record of its type and scope."""
        return str(self.ts_recv)


class RiskLimitChanged(RiskAudit, frozen=True):
    """Who changed which limit, when, from what, to what and why.

    With `problem` it was refused and nothing changed. Of a limit that a scope did not have, the
    value before or after is None. `ts_recv` is that of the wish.
    """

    name: str
    before: Decimal | None
    after: Decimal | None
    actor: str
    reason: str
    problem: str = ""

    @property
    def audit_id(self) -> str:
        """One record per wish."""
        return f"{self.name}:{self.ts_recv}"


class TradingStateChanged(RiskAudit, frozen=True):
    """Who let `scope` (all, or one strategy) trade, reduce or nothing, and why.

    Risk's own doing has the actor `risk` and a cause with its `limit` and `value`, in quote
    currency. With `flatten`, positions of the scope are closed.
    """

    before: TradingState
    after: TradingState
    actor: str
    reason: str
    cause: StopCause = StopCause.MANUAL
    limit: Decimal | None = None
    value: Decimal | None = None
    flatten: bool = False
    order_id: str = ""


class HeartbeatChanged(RiskAudit, frozen=True):
    """A strategy fell silent, and its working orders are being cancelled, or it came back."""

    strategy_id: str
    lost: bool
    silent_ms: int
    limit_ms: int


class PnlRecorded(RiskAudit, frozen=True):
    """From where risk measures the losses of a scope; after a crash it goes on from here.

    `net_pnl` is of all fills so far, realised and unrealised, fees in; `day_start` and `peak` are
    values of it: when the day `day` (days since 1970) began, and the highest since the last resume.
    All in quote currency.
    """

    day: int
    net_pnl: Decimal
    day_start: Decimal
    peak: Decimal


class FlattenEnded(RiskAudit, frozen=True):
    """Risk has closed the positions of a scope that it stopped, or gave up.

    `residual` are (venue, instrument, quantity) that it could not close.
    """

    orders: int
    residual: tuple[tuple[str, str, Decimal], ...]


class ScopeReport(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One scope as risk sees it now, in quote currency, working orders filled on the worse side.

    `ts_wished`: the wish for its state, or to have it closed, that was carried out last; 0: none.
    """

    scope: str
    state: TradingState
    reason: str
    gross_exposure: Decimal
    net_exposure: Decimal
    net_pnl: Decimal
    daily_loss: Decimal
    drawdown: Decimal
    heartbeat_lost: bool = False
    ts_wished: int = 0


class LimitReport(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One limit in force; `configured` is that of the files, the rest says who changed it."""

    scope: str
    name: str
    value: Decimal | None
    configured: Decimal | None
    actor: str = ""
    reason: str = ""
    ts_changed: int = 0


class RiskReport(Event, frozen=True):
    """What risk enforces and where it stands, on each change and every few seconds."""

    currency: str
    scopes: tuple[ScopeReport, ...]
    limits: tuple[LimitReport, ...]


RiskEvent = (
    RiskLimitChanged
    | TradingStateChanged
    | HeartbeatChanged
    | PnlRecorded
    | FlattenEnded
    | Heartbeat
    | RiskReport
)
