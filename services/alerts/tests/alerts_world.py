"""What happens on a platform, as the tests of the alerts tell it."""

from decimal import Decimal
from typing import TypeVar

from tickbus.events import (
    DenialReason,
    Event,
    FeedState,
    FeedStatus,
    Fill,
    LiquiditySide,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderType,
    OrderUnknown,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimerFired,
    TradingState,
    TradingStateChanged,
)
from tickbus_alerts.core import AlertsCore
from tickbus_alerts.events import AlertCleared, AlertRaised
from tickbus_alerts.kinds import default_rules

S = 1_000_000_000
T0 = 1_700_000_000 * S
D = Decimal
E = TypeVar("E", bound=Event)


def an_order(n: int, ts: int, strategy_id: str = "momentum") -> SubmitOrder:
    return SubmitOrder(
        ts, ts, f"{strategy_id}-r-{n}", strategy_id, "sim", "BTC-USDT", Side.BUY, OrderType.MARKET,
        D(1),
    )  # fmt: skip


def a_denial(
    ts: int, n: int = 1, strategy_id: str = "momentum",
    reason: DenialReason = DenialReason.NOTIONAL_ABOVE_MAX,
) -> OrderDenied:  # fmt: skip
    return OrderDenied(ts, ts, an_order(n, ts, strategy_id), reason, "limit=100 value=101")


def a_fill(ts: int, n: int = 1, price: str = "100", venue: str = "sim") -> OrderFilled:
    fill = Fill(str(n), Side.BUY, D(price), D("0.5"), D("0.01"), "USDT", LiquiditySide.TAKER, ts)
    return OrderFilled(
        ts, ts, f"momentum-r-{n}", "momentum", venue, "BTC-USDT", "v1", fill, D("0.5"), D(0)
    )


def unknown(ts: int, n: int = 1) -> OrderUnknown:
    return OrderUnknown(ts, ts, f"momentum-r-{n}", "momentum", "sim", "BTC-USDT", "no answer")


def canceled(ts: int, n: int = 1) -> OrderCanceled:
    return OrderCanceled(ts, ts, f"momentum-r-{n}", "momentum", "sim", "BTC-USDT", "v1", D(0))


def a_state(
    ts: int, after: TradingState, scope: str = "global", actor: str = "ann", reason: str = "test"
) -> TradingStateChanged:
    return TradingStateChanged(ts, ts, scope, TradingState.ACTIVE, after, actor, reason)


def a_feed(ts: int, state: FeedState, instrument_id: str = "BTC-USDT") -> FeedStatus:
    return FeedStatus(ts, ts, "sim", instrument_id, state, "")


class World:
    """A core and its timers: time goes on only by `at`."""

    def __init__(self, core: AlertsCore | None = None, start: int = T0) -> None:
        self.core = core or AlertsCore(default_rules())
        self.now = start
        self.said: list[Event] = []
        self.timers: dict[str, int] = {}
        self.tell(Recovered(start, start))

    def tell(self, event: Event) -> list[Event]:
        """What the core says to `event`."""
        out = list(self.core.handle(event))
        for said in out:
            if isinstance(said, SetTimer):
                self.timers[said.key] = said.at_ns
        self.said += out
        return out

    def at(self, ts: int, *events: Event) -> None:
        """Let time go on to `ts`, timers first, then tell the events."""
        while self.timers and min(self.timers.values()) <= ts:
            key = min(self.timers, key=lambda each: self.timers[each])
            due = self.timers.pop(key)
            self.now = max(self.now, due)
            self.tell(TimerFired(self.now, self.now, key))
        self.now = max(self.now, ts)
        for event in events:
            self.tell(event)

    def of(self, kind: type[E]) -> list[E]:
        """All that was said of one kind."""
        return [event for event in self.said if isinstance(event, kind)]

    @property
    def raised(self) -> list[tuple[str, int]]:
        """Title and count of each message that something is wrong."""
        return [(e.incident.title, e.incident.count) for e in self.of(AlertRaised)]

    @property
    def cleared(self) -> list[str]:
        """The titles of what people were told is over."""
        return [e.incident.title for e in self.of(AlertCleared) if e.tell]
