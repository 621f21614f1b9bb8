"""What the topics about ourselves say: orders, fills, risk, and what others tell when asked."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from tickbus import codec
from tickbus.alerts_api import Alert, AlertsAnswer
from tickbus.events import LogRecorded, RiskReport, RiskState, StrategyDecision
from tickbus.ledger_api import FillRecord
from tickbus.order import Order
from tickbus_api.alerts import AlertView
from tickbus_api.books import FillView, OrderView
from tickbus_api.candles import CandlesView
from tickbus_api.core import ApiCore, OrderChanged
from tickbus_api.logs import LogView, at_least
from tickbus_api.risk import LimitView, state_view
from tickbus_api.strategy_views import DecisionView
from tickbus_api.streaming.core import WHOLE
from tickbus_api.streaming.market import behind, listed

SHOWN = 100
"""Of what happens: in a snapshot."""
CANDLES_SHOWN = 500
T = TypeVar("T")


class OrdersSource:
    """Topic `orders`: those that work; a delta has each that took a step, as it is now.

    Nothing is said before the ledger was heard: orders older than the gateway would be missing.
    """

    def __init__(self, core: ApiCore) -> None:
        self.is_ready = False
        self._core = core
        self._seen: OrderChanged | None = core.steps[-1] if core.steps else None
        self._said = {order.client_order_id: self._text(order) for order in core.orders.working()}
        self._learned: list[str] = []

    def learn(self, orders: Iterable[Order]) -> None:
        """Working orders as the ledger has them, of which some are older than the gateway."""
        for order in orders:
            self._core.learn(order)
            self._learned.append(order.client_order_id)
        self.is_ready = True

    def changes(self, now: int) -> str | None:
        """The orders that took a step."""
        steps = self._core.steps
        if not self._learned and (not steps or steps[-1] is self._seen):
            return None
        news = behind(steps, self._seen)
        self._seen = steps[-1] if steps else None
        if news is None:
            working = self._core.orders.working()
            self._said = {order.client_order_id: self._text(order) for order in working}
            self._learned = []
            return WHOLE
        ids = dict.fromkeys((*self._learned, *(step.client_order_id for step in news)))
        self._learned = []
        texts = [text for text in map(self._take, ids) if text]
        return listed("orders", texts) if texts else None

    def state(self) -> str:
        """The orders that work."""
        return listed("orders", list(self._said.values()))

    def _take(self, client_order_id: str) -> str:
        order = self._core.orders.get(client_order_id)
        if order is None:
            return ""
        text = self._text(order)
        if order.is_working:
            self._said[client_order_id] = text
        else:
            self._said.pop(client_order_id, None)
        return text

    def _text(self, order: Order) -> str:
        symbol = self._core.symbol(order.venue, order.instrument_id)
        return OrderView.of(order, symbol).model_dump_json()


class Events(Generic[T]):
    """A topic of things that happen, the newest first: `row` is where the gateway notes them.

    `text` is one as JSON, and two with the same `key` are the same. With `waits` nothing is said
    before it has learned what happened earlier; what it does not want (`wants`) is not told.
    """

    def __init__(
        self, name: str, row: deque[T], text: Callable[[T], str], key: Callable[[T], Hashable], *,
        waits: bool = True, wants: Callable[[T], bool] | None = None,
    ) -> None:  # fmt: skip
        self.is_ready = not waits
        self._name = name
        self._row = row
        self._text = text
        self._key = key
        self._wants = wants
        self._is_told = False
        self._seen: T | None = None
        self._said: dict[Hashable, str] = {}

    def learn(self, things: Iterable[T]) -> None:
        """What happened before, the oldest first, from whoever keeps it."""
        self._said.clear()
        for thing in things:
            self._add(thing)
        self._is_told = False
        self.is_ready = True

    def changes(self, now: int) -> str | None:
        """What happened since."""
        row = self._row
        if not self._is_told:
            self._is_told = True
            for thing in self._unlearned():
                self._add(thing)
            self._seen = row[-1] if row else None
            return WHOLE
        if not row or row[-1] is self._seen:
            return None
        news = behind(row, self._seen)
        self._seen = row[-1]
        texts = [self._add(thing) for thing in (row if news is None else news)]
        if news is None:
            return WHOLE
        told = [text for text in reversed(texts) if text]
        return listed(self._name, told) if told else None

    def state(self) -> str:
        """The last of them."""
        return listed(self._name, list(reversed(self._said.values())))

    def _unlearned(self) -> list[T]:
        """What is in the row behind the newest that was learned."""
        newer: list[T] = []
        for thing in self._row:
            if self._key(thing) in self._said:
                newer.clear()
            else:
                newer.append(thing)
        return newer

    def _add(self, thing: T) -> str:
        if self._wants is not None and not self._wants(thing):
            return ""
        key = self._key(thing)
        if key in self._said:
            return ""
        text = self._said[key] = self._text(thing)
        if len(self._said) > SHOWN:
            del self._said[next(iter(self._said))]
        return text


def fills(core: ApiCore) -> Events[FillRecord]:
    """Topic `fills`: our executions."""

    def text(record: FillRecord) -> str:
        symbol = core.symbol(record.venue, record.instrument_id)
        return FillView.of(record, symbol).model_dump_json()

    return Events("fills", core.fills, text, lambda r: (r.venue, r.instrument_id, r.fill.fill_id))


class StrategyDecisionView(DecisionView):
    """A decision, and whose it is."""

    strategy: str


def decisions(core: ApiCore) -> Events[StrategyDecision]:
    """Topic `decisions`: what strategies looked at when they decided."""

    def text(decision: StrategyDecision) -> str:
        members = DecisionView.of(decision).model_dump()
        return StrategyDecisionView(strategy=decision.strategy_id, **members).model_dump_json()

    return Events("decisions", core.decisions, text, codec.encode_value)


def logs(core: ApiCore, level: str) -> Events[LogRecorded]:
    """Topic `logs`: what services log, of this level and above. Raises Problem."""

    def text(line: LogRecorded) -> str:
        return LogView.of(line).model_dump_json()

    return Events("logs", core.logs, text, codec.encode_value, waits=False, wants=at_least(level))


class RiskSource:
    """Topic `risk`: the trading state, every scope and the limits in force, whole each time."""

    def __init__(self, core: ApiCore) -> None:
        self._core = core
        self._seen: tuple[RiskState | None, RiskReport | None] = (None, None)

    @property
    def is_ready(self) -> bool:
        """Whether risk has said anything."""
        return self._core.risk is not None and self._core.risk_report is not None

    def changes(self, now: int) -> str | None:
        """Whether risk said anything."""
        said = self._core.risk, self._core.risk_report
        if said[0] is self._seen[0] and said[1] is self._seen[1]:
            return None
        self._seen = said
        return WHOLE

    def state(self) -> str:
        """What risk said."""
        state, report = self._seen
        assert state is not None
        assert report is not None
        view = state_view(state, report).model_dump_json()
        limits = listed("limits", [LimitView.of(each).model_dump_json() for each in report.limits])
        return f"{view[:-1]},{limits[1:]}"


class Told:
    """A topic whose value somebody is asked for now and then, whole each time."""

    def __init__(self) -> None:
        self.is_ready = False
        self._value = ""
        self._said = ""

    def tell(self, value: str) -> None:
        """What it is now, as JSON."""
        self._value = value
        self.is_ready = True

    def changes(self, now: int) -> str | None:
        """Whether it is something else than before."""
        if self._value == self._said:
            return None
        self._said = self._value
        return WHOLE

    def state(self) -> str:
        """The value."""
        return self._said


class Candles:
    """Topic `candles`: those of one market and interval; a delta has those that changed."""

    def __init__(self) -> None:
        self.is_ready = False
        self._head: CandlesView | None = None
        self._now: dict[str, str] = {}
        self._said: dict[str, str] = {}

    def learn(self, view: CandlesView) -> None:
        """The newest, in any number: those not in it are as they were."""
        self._head = view.model_copy(update={"candles": []})
        for candle in reversed(view.candles):
            opened_at = str(candle.opened_at)
            self._now.pop(opened_at, None)
            self._now[opened_at] = candle.model_dump_json()
        while len(self._now) > CANDLES_SHOWN:
            del self._now[next(iter(self._now))]
        self.is_ready = True

    def changes(self, now: int) -> str | None:
        """Those that are new, or other than they were."""
        before, self._said = self._said, dict(self._now)
        news = [text for at, text in self._said.items() if before.get(at) != text]
        return self._text(news) if news else None

    def state(self) -> str:
        """All of them."""
        return self._text(list(self._said.values()))

    def _text(self, candles: list[str]) -> str:
        assert self._head is not None
        head = self._head.model_dump_json(exclude={"candles"})
        return f"{head[:-1]},{listed('candles', candles[::-1])[1:]}"


class AlertsSource:
    """Topic `alerts`: those that are active; a delta has those that began, changed or ended."""

    def __init__(self) -> None:
        self.is_ready = False
        self._active: dict[str, str] = {}
        self._ended: dict[str, str] = {}
        self._ended_before: frozenset[str] = frozenset()
        self._said: dict[str, str] = {}

    def learn(self, answer: AlertsAnswer) -> None:
        """What is active now, and the newest that are over."""
        self._active = {alert.alert_id: _alert_text(alert) for alert in reversed(answer.active)}
        ended = {alert.alert_id: alert for alert in reversed(answer.recent)}
        if self.is_ready:
            # Also what began and ended since the last answer is told, once.
            news = [each for each in ended if each in self._said or each not in self._ended_before]
            self._ended |= {each: _alert_text(ended[each]) for each in news}
        self._ended_before = frozenset(ended)
        self._ended = {each: text for each, text in self._ended.items() if each in ended}
        self.is_ready = True

    def changes(self, now: int) -> str | None:
        """The alerts that are other than they were said to be."""
        before, self._said = self._said, dict(self._active)
        ended, self._ended = self._ended, {}
        if any(each not in self._active and each not in ended for each in before):
            return WHOLE  # over for so long that it is not listed any more
        texts = [text for each, text in self._said.items() if before.get(each) != text]
        texts += [text for each, text in ended.items() if each not in self._active]
        return listed("alerts", texts[::-1]) if texts else None

    def state(self) -> str:
        """What is active, the newest first."""
        return listed("alerts", list(reversed(self._said.values())))


def _alert_text(alert: Alert) -> str:
    return AlertView.of(alert).model_dump_json()
