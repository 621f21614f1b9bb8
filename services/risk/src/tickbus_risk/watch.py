"""What risk does without an order: limits changed, trading stopped and resumed, silence, losses.

Everything of it that must outlive the process is an audit event in the ORDERS stream, folded at the
next start; what people want (limits, trading states) is in buckets and comes before that history.
A wish that is not on record yet, because risk was down, is carried out and recorded at the start.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

from tickbus import subjects
from tickbus.events import (
    GLOBAL,
    CancelAllOrders,
    Event,
    Heartbeat,
    HeartbeatChanged,
    LimitReport,
    PnlRecorded,
    Recovered,
    RiskLimitChanged,
    RiskReport,
    ScopeReport,
    SetLimit,
    SetTimer,
    SetTradingState,
    StopCause,
    TimerFired,
    TradingState,
    TradingStateChanged,
)
from tickbus.limits import LimitError
from tickbus.order import Order
from tickbus_risk.config import RiskConfig
from tickbus_risk.denial import plain
from tickbus_risk.flatten import Flattening
from tickbus_risk.losses import Breach
from tickbus_risk.snapshot import WatchMemory
from tickbus_risk.state import RiskBook

ZERO = Decimal(0)
STRICTER = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)
"""Each lets less pass than the one before."""
TIMER = "risk-watch"
SECOND_NS = 1_000_000_000
MARKS_WAIT_NS = 30 * SECOND_NS
"""Losses wait so long after the start for books to price what is held; then old prices must do."""
OVERFILLED_MAX = 10_000
UNWATCHED = frozenset({subjects.MANUAL, subjects.RISK, "external"})
"""Strategy ids behind which no process stands that could say that it is alive."""

Events = Sequence[Event]
CancelAll = Callable[[CancelAllOrders], Events]


class Watch:
    """The desired and the actual state of every scope; `config` holds the limits in force."""

    def __init__(
        self, config: RiskConfig, book: RiskBook, cancel_all: CancelAll,
        on_limits: Callable[[], None],
    ) -> None:  # fmt: skip
        self.config = config
        self.stops: dict[str, TradingStateChanged] = {}
        """The last change of state per scope; what was resumed stays as ACTIVE."""
        self.flattening = Flattening(book)
        self._configured = config
        self._book = book
        self._cancel_all = cancel_all
        self._on_limits = on_limits
        self._wishes: dict[tuple[str, str], SetLimit] = {}
        self._limits_told: dict[tuple[str, str], int] = {}
        self._desired: dict[str, SetTradingState] = {}
        self._states_told: dict[str, int] = {}
        self._tripped: dict[str, None] = {}
        self._overfilled: dict[str, bool] = {}
        """Orders that filled for more than they were for; whether that is on record."""
        self._live = False
        self._live_since = 0
        self._ts_heartbeat = 0

    def snapshot(self) -> WatchMemory:
        """All that folding the order path gave; wishes are in buckets."""
        return WatchMemory(
            list(self.stops.values()),
            [(*key, ts) for key, ts in self._limits_told.items()],
            list(self._states_told.items()),
            list(self._tripped),
            dict(self._overfilled),
            list(self.flattening.closing),
        )

    def restore(self, memory: WatchMemory) -> None:
        """Know what `memory` says."""
        self.stops = {change.scope: change for change in memory.stops}
        self._limits_told = {(scope, name): ts for scope, name, ts in memory.limits_told}
        self._states_told = dict(memory.states_told)
        self._tripped = dict.fromkeys(memory.tripped)
        self._overfilled = dict(memory.overfilled)
        self.flattening.closing.clear()
        for scope in memory.closing:
            self.flattening.begin(scope)

    # -- limits ------------------------------------------------------------------------------------

    def set_limit(self, wish: SetLimit) -> Events:
        """Somebody wants another limit."""
        if self._wishes.get((wish.scope, wish.name)) == wish:
            return ()  # a bucket may tell its values again
        self._wishes[wish.scope, wish.name] = wish
        if not self._live:
            return ()
        changed = self._change_limit(wish)
        return (changed, self.report(wish))

    def limit_changed(self, event: RiskLimitChanged) -> None:
        """An earlier process has recorded it; the bucket says what holds."""
        key = (event.scope, event.name)
        self._limits_told[key] = max(self._limits_told.get(key, 0), event.ts_recv)

    def _change_limit(self, wish: SetLimit) -> RiskLimitChanged:
        scope, before, after, problem = wish.scope, None, None, ""
        try:
            before = self.config.limit(scope, wish.name)
            value = wish.value
            if value is None:
                value = self._configured.limit(scope, wish.name)
            self.config = self.config.with_limit(scope, wish.name, value)
            after = self.config.limit(scope, wish.name)
        except LimitError as error:
            # The words hold the scope as it was given: it may be nothing that a subject can name.
            scope = GLOBAL if error.field == "scope" else scope
            after, problem = before, str(error)
        else:
            self._on_limits()
        return RiskLimitChanged(
            wish.ts_event, wish.ts_recv, scope, wish.name, before, after, wish.actor, wish.reason,
            problem,
        )  # fmt: skip

    # -- trading states ----------------------------------------------------------------------------

    def state_of(self, scope: str) -> TradingState:
        """What the scope by itself may do; a stop of everything comes on top of it."""
        if scope == GLOBAL:
            return self._book.trading_state
        return self._book.strategy_states.get(scope.partition(":")[2], TradingState.ACTIVE)

    def why(self, scope: str) -> str:
        """Who set the state of the scope and why."""
        desired, change = self._desired.get(scope), self.stops.get(scope)
        if change is None and desired is None:
            return "never set"
        if change is None or (desired is not None and desired.ts_recv >= change.ts_recv):
            assert desired is not None
            return f"{desired.reason} ({desired.actor})"
        return f"{change.reason} ({change.actor})"

    def set_state(self, wish: SetTradingState) -> Events:
        """Somebody wants a scope to trade, to reduce or to stop."""
        scope = f"strategy:{wish.strategy_id}" if wish.strategy_id else GLOBAL
        if self._desired.get(scope) == wish:
            return ()  # told again, it must not undo a stop that came after it
        self._desired[scope] = wish
        return self._change_state(scope, wish) if self._live else ()

    def state_changed(self, event: TradingStateChanged) -> None:
        """An earlier process has done it."""
        self._put(event)
        if event.cause is StopCause.OVERFILL:
            self._overfilled[event.order_id] = True
        if event.actor != subjects.RISK:
            self._states_told[event.scope] = event.ts_recv

    def stop(self, scope: str, breach: Breach, event: Event) -> Events:
        """Risk itself stops a scope that has reached a limit."""
        after = TradingState.HALTED if scope != GLOBAL else self.config.stopped_state
        reason = f"{breach.name} {plain(breach.limit)} reached: {plain(breach.value)}"
        change = TradingStateChanged(
            event.ts_event, event.ts_recv, scope, self.state_of(scope), after, subjects.RISK,
            reason, breach.cause, breach.limit, breach.value, self.config.flatten_on_stop,
        )  # fmt: skip
        self._put(change)
        return (change, *self._cancel(change))

    def overfill(self, order: Order, event: Event) -> Events:
        """An order filled for more than it was for, which is a bug of the venue or of ours.

        Everything stops, once per order: whoever resumes has seen it. What was told while risk was
        down is judged at the start.
        """
        if self._overfilled.setdefault(order.client_order_id, False) or not self._live:
            return ()
        self._overfilled[order.client_order_id] = True
        while len(self._overfilled) > OVERFILLED_MAX:
            del self._overfilled[next(iter(self._overfilled))]
        quantity, filled = order.quantity, order.filled_quantity
        change = TradingStateChanged(
            event.ts_event, event.ts_recv, GLOBAL, self.state_of(GLOBAL), TradingState.HALTED,
            subjects.RISK,
            f"OVERFILL order={order.client_order_id} quantity={quantity} filled={filled}",
            StopCause.OVERFILL, quantity, filled, order_id=order.client_order_id,
        )  # fmt: skip
        self._put(change)
        return (change, *self._cancel(change))

    def _overfills(self, event: Recovered) -> list[Event]:
        out: list[Event] = []
        for order_id in [name for name, told in self._overfilled.items() if not told]:
            order = self._book.order(order_id)
            if order is not None:
                out += self.overfill(order, event)
        return out

    def _change_state(self, scope: str, wish: SetTradingState) -> Events:
        before = self.state_of(scope)
        flatten = wish.flatten and wish.state is TradingState.HALTED
        if wish.state is before and not flatten:
            return ()
        change = TradingStateChanged(
            wish.ts_event, wish.ts_recv, scope, before, wish.state, wish.actor, wish.reason,
            flatten=flatten,
        )  # fmt: skip
        tripped = scope in self._tripped
        self._put(change)
        self._states_told[scope] = wish.ts_recv
        out: list[Event] = [change]
        if change.after is TradingState.HALTED:
            out += self._cancel(change)
        elif tripped and change.after is TradingState.ACTIVE:
            # Whoever resumes after a loss begins anew: measured from before, it would stop again.
            now = max(self._book.now_ns, wish.ts_recv)
            self._book.losses.restart(scope, now, self.config)
            out += self._book.losses.records(wish, self.config)
        return out

    def _put(self, change: TradingStateChanged) -> None:
        self.stops[change.scope] = change
        if change.scope == GLOBAL:
            self._book.trading_state = change.after
        else:
            self._book.strategy_states[change.scope.partition(":")[2]] = change.after
        if change.flatten:
            self.flattening.begin(change.scope)
        elif change.after is TradingState.ACTIVE:
            self.flattening.end(change.scope)
        if change.cause not in (StopCause.MANUAL, StopCause.OVERFILL):
            self._tripped[change.scope] = None
        elif change.after is TradingState.ACTIVE:
            self._tripped.pop(change.scope, None)

    def _cancel(self, change: TradingStateChanged) -> Events:
        # The command's id is the stop's: told again after a crash, it is the same wish.
        wish = CancelAllOrders(
            change.ts_event, change.ts_recv, f"halt-{change.ts_recv}",
            strategy_id="" if change.scope == GLOBAL else change.scope.partition(":")[2],
        )  # fmt: skip
        return self._cancel_all(wish)

    # -- heartbeats --------------------------------------------------------------------------------

    def heartbeat(self, event: Heartbeat) -> Events:
        """Somebody is alive."""
        heartbeats, strategy_id = self._book.heartbeats, event.strategy_id
        if strategy_id == subjects.RISK:
            heartbeats.hear_own(event.ts_recv)
            return ()
        silent = heartbeats.hear(strategy_id, event.ts_recv, event.leaves)
        return () if silent is None else (self._silence(event, strategy_id, False, silent),)

    def _listen(self, event: Event) -> list[Event]:
        out: list[Event] = []
        for strategy_id, working in self._book.open_orders.items():
            if not working or strategy_id in UNWATCHED:
                continue
            silent = self._book.heartbeats.lose(strategy_id, self._allowed_s(strategy_id))
            if silent is not None:
                out.append(self._silence(event, strategy_id, True, silent))
                command_id = f"silent-{strategy_id}-{event.ts_recv}"
                wish = CancelAllOrders(
                    event.ts_event, event.ts_recv, command_id, strategy_id=strategy_id
                )
                out += self._cancel_all(wish)
        return out

    def _allowed_s(self, strategy_id: str) -> Decimal:
        replaced = self._book.heartbeats.is_replaced(strategy_id)
        return self.config.timeout_s(strategy_id, replaced)

    def _silence(self, event: Event, strategy_id: str, lost: bool, silent_ns: int) -> Event:
        limit_ms = int(self._allowed_s(strategy_id) * 1000)
        return HeartbeatChanged(
            event.ts_event, event.ts_recv, f"strategy:{strategy_id}", strategy_id, lost,
            silent_ns // 1_000_000, limit_ms,
        )  # fmt: skip

    # -- time --------------------------------------------------------------------------------------

    def pnl_recorded(self, event: PnlRecorded) -> None:
        """An earlier process measured losses from here."""
        self._book.losses.fold(event)

    def recovered(self, event: Recovered) -> Events:
        """History is over: carry out what is not on record, enforce what is."""
        self._live, self._live_since = True, event.ts_recv
        self._book.heartbeats.begin(event.ts_recv)
        out: list[Event] = []
        for key, limit_wish in self._wishes.items():
            changed = self._change_limit(limit_wish)
            if limit_wish.ts_recv > self._limits_told.get(key, 0):
                out.append(changed)
        for change in list(self.stops.values()):
            # As when it was done: to reduce by hand leaves working orders alone.
            by_risk = change.after is TradingState.REDUCING and change.actor == subjects.RISK
            if change.after is TradingState.HALTED or by_risk:
                out += self._cancel(change)
        for scope, wish in self._desired.items():
            if self._is_news(scope, wish):
                out += self._change_state(scope, wish)
        out += self._overfills(event)
        self._book.losses.begin(event.ts_recv, self.config)
        return (*out, *self.beat(event), self._timer(event))

    def _is_news(self, scope: str, wish: SetTradingState) -> bool:
        """Whether a wish from the bucket came while risk was down."""
        change, before = self.stops.get(scope), self.state_of(scope)
        loosens = STRICTER.index(wish.state) < STRICTER.index(before)
        if loosens and change is not None and change.ts_recv >= wish.ts_recv:
            return False  # a stop that came after it stays, also if the wish had changed nothing
        # Not by which is later: whoever stops us may have a clock that is behind.
        return wish.ts_recv != self._states_told.get(scope, 0)

    def fired(self, event: TimerFired) -> Events:
        """Value everything, and see to losses and silences."""
        out = [*self.look(event), *self._listen(event), *self.beat(event)]
        return (*out, self._timer(event))

    def look(self, event: Event) -> Events:
        """Stop every scope that has reached a limit on its losses."""
        book = self._book
        book.exposures.refresh_all()
        waited = book.now_ns - self._live_since > MARKS_WAIT_NS
        book.losses.trusted = self._live and (waited or book.exposures.is_marked())
        if not book.losses.trusted:
            return ()
        book.losses.move(book.now_ns, self.config)
        out: list[Event] = list(book.losses.records(event, self.config))
        for scope in book.losses.tracks:
            breach = book.losses.breach(scope, self.config)
            if breach is not None and self.state_of(scope) is TradingState.ACTIVE:
                out += self.stop(scope, breach, event)
        return out

    def beat(self, event: Event) -> Events:
        """Risk's own heartbeat, once a second."""
        if event.ts_recv - self._ts_heartbeat < SECOND_NS:
            return ()
        self._ts_heartbeat = event.ts_recv
        return (Heartbeat(event.ts_event, event.ts_recv, subjects.RISK),)

    def _timer(self, event: Event) -> SetTimer:
        at_ns = event.ts_recv + self.config.watch_interval_ms * 1_000_000
        return SetTimer(event.ts_event, event.ts_recv, TIMER, at_ns)

    # -- reports -----------------------------------------------------------------------------------

    def report(self, event: Event) -> RiskReport:
        """Everything that is enforced, and where every scope stands."""
        book = self._book
        heard = (f"strategy:{name}" for name in book.heartbeats.known())
        scopes = dict.fromkeys([*book.exposures.scopes(), *self.stops, *self._desired, *heard])
        return RiskReport(
            event.ts_event, event.ts_recv, self.config.currency,
            tuple(self._scope(scope) for scope in scopes), tuple(self._limit_reports()),
        )  # fmt: skip

    def _scope(self, scope: str) -> ScopeReport:
        book = self._book
        sums = book.exposures.sums(scope)
        # A venue is only measured: nothing stops it, and no losses of it are judged.
        judged = not scope.startswith("venue:")
        return ScopeReport(
            scope=scope,
            state=self.state_of(scope) if judged else TradingState.ACTIVE,
            reason=self.why(scope),
            gross_exposure=sums.gross,
            net_exposure=sums.net,
            net_pnl=sums.pnl,
            daily_loss=max(-book.losses.day_pnl(scope), ZERO) if judged else ZERO,
            drawdown=book.losses.drawdown(scope) if judged else ZERO,
            heartbeat_lost=scope.partition(":")[2] in book.heartbeats.lost,
            ts_wished=self._states_told.get(scope, 0),
        )

    def _limit_reports(self) -> list[LimitReport]:
        out = []
        for scope, name, value in self.config.all_limits():
            wish = self._wishes.get((scope, name))
            configured = self._configured.limit(scope, name)
            changed = (wish.actor, wish.reason, wish.ts_recv) if wish is not None else ("", "", 0)
            out.append(LimitReport(scope, name, value, configured, *changed))
        return out
