"""Smart routing: an order for the venue `smart` becomes parts at the venues that trade it best.

Consumes: OrderApproved and CancelApproved for `smart`; verdicts and events of its parts; BookDepth,
BookTop, FeedStatus, AccountUpdated, Instrument, TimerFired, Recovered; after a restart its own
words.
Produces: SubmitOrder and CancelOrder for the parts, which risk judges like any others; the events
of the whole order; BookTop and Instrument of `smart`; BestExecution; SetTimer.
Invariants: the parts of an order together are never for more than it; what is left is sent again
only when every part has ended and all its fills are known, and not to a venue that refused a part
of it; a fill of a part is told once as a fill of the whole.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tickbus.events import (
    SMART_VENUE,
    AccountUpdated,
    BestExecution,
    BookDepth,
    BookTop,
    CancelApproved,
    CancelOrder,
    CancelRejected,
    Event,
    FeeSchedule,
    Fill,
    Instrument,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderType,
    OrderUnknown,
    Recovered,
    SetTimer,
    SubmitOrder,
    TimeInForce,
    TimerFired,
)
from tickbus.order import Order, Orders, OrderState, client_order_id_of
from tickbus_router.config import RouterConfig
from tickbus_router.markets import Markets
from tickbus_router.memory import OwnWord, RouterMemory
from tickbus_router.parent import Parent
from tickbus_router.planning import (
    Leg,
    VenueMarket,
    best_level,
    best_price,
    lacking,
    least,
    split,
    within,
)
from tickbus_router.refusals import Refusals

ID_MAX = 36
EARLY_MAX = 1_000
"""Wholes of which something was recalled before their approval came; the oldest is forgotten."""
WARM_NS = 3_000_000_000
"""How long after a start an order waits for the books of all venues, rather than do without."""
PART_DIGITS = 4
"""Room that ids of parts take behind that of the whole: a dash and a number."""
ENDED = (OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED)

Events = Sequence[Any]


class Measured(Event, frozen=True):
    """How an order did, for the metrics of this process. Never on the bus."""

    execution: BestExecution


class RouterCore:
    """Splits orders; see the module's first lines."""

    memory = RouterMemory

    def __init__(self, config: RouterConfig, fees: Mapping[str, FeeSchedule]) -> None:
        self._config = config
        self._markets = Markets(fees)
        self._refusals = Refusals(config.avoid_s)
        self._wholes = Orders()
        self._parents: dict[str, Parent] = {}
        self._of_part: dict[str, str] = {}
        # What an earlier process said of a whole whose approval is only about to come again.
        self._early: dict[str, list[OwnWord]] = {}
        self._live = False
        self._ts_recovered = 0
        self._handlers: dict[type, Callable[[Any], Events]] = {
            OrderApproved: self._approved,
            CancelApproved: self._cancel,
            SubmitOrder: self._own_part,
            BookDepth: self._markets.on_depth,
            BookTop: self._markets.on_top,
            AccountUpdated: self._markets.on_account,
            Instrument: self._instrument,
            TimerFired: self._timer,
            Recovered: self._recovered,
        }
        for kind in (
            OrderDenied, OrderSubmitted, OrderReplaced, OrderAccepted, OrderRejected, OrderFilled,
            OrderCanceled, OrderExpired, CancelRejected, OrderUnknown,
        ):  # fmt: skip
            self._handlers[kind] = self._order_event

    def handle(self, event: Any, /) -> Events:
        """What follows for risk, for the strategy that asked, and for who looks at the market."""
        handler = self._handlers.get(type(event))
        return handler(event) if handler is not None else ()

    # -- snapshots ---------------------------------------------------------------------------------

    def snapshot(self) -> RouterMemory:
        """All that folding the order path gave."""
        return RouterMemory(
            self._wholes.snapshot(),
            [parent.snapshot() for parent in self._parents.values()],
            list(self._of_part.items()),
            [word for words in self._early.values() for word in words],
            self._markets.balances(),
        )

    def restore(self, memory: RouterMemory, /) -> None:
        """Know what `memory` says."""
        self._wholes.restore(memory.wholes)
        for each in memory.parents:
            parent = Parent.restored(each)
            self._parents[parent.order.client_order_id] = parent
        self._of_part = dict(memory.of_part)
        for word in memory.early:
            self._keep_early(word)
        self._markets.restore(memory.balances)

    # -- the whole ---------------------------------------------------------------------------------

    def _approved(self, event: OrderApproved) -> Events:
        order_id = event.order.client_order_id
        if event.order.venue != SMART_VENUE or order_id in self._wholes:
            return ()
        self._wholes.fold(event)
        parent = self._parents[order_id] = Parent(event)
        for word in self._early.pop(order_id, ()):
            self._own_part(word) if isinstance(word, SubmitOrder) else self._wholes.fold(word)
        if not self._live:
            self._forget_if_over(parent)
            return ()
        refusal = self._refusal(event.order)
        if refusal:
            self._forget(parent)
            return self._emit(OrderRejected(*self._head(event, event.order), *refusal))
        submitted = self._emit(OrderSubmitted(*self._head(event, event.order)))
        return (*submitted, *self._go_on(parent, event))

    def _refusal(self, order: SubmitOrder) -> tuple[str, str] | None:
        """(reason, detail) why an order cannot be split; None when it can."""
        if order.order_type not in (OrderType.MARKET, OrderType.LIMIT) or order.replaces:
            return "SMART_TYPE_UNSUPPORTED", f"limit=MARKET or LIMIT value={order.order_type}"
        immediate = order.order_type is OrderType.MARKET or order.time_in_force is TimeInForce.IOC
        if not immediate or order.post_only:
            lasts = "post_only" if order.post_only else order.time_in_force
            return "SMART_TIME_IN_FORCE_UNSUPPORTED", f"limit=IOC value={lasts}"
        if len(order.client_order_id) > ID_MAX - PART_DIGITS:
            length = len(order.client_order_id)
            return "SMART_ID_TOO_LONG", f"limit={ID_MAX - PART_DIGITS} value={length}"
        return None

    def _go_on(self, parent: Parent, cause: Event) -> Events:
        """The next round for what is left, or the end; never while a part may still trade."""
        if parent.is_waiting:
            return ()
        order = parent.order
        whole = self._wholes.get(order.client_order_id)
        if whole is not None and whole.state in ENDED:
            self._forget(parent)  # an earlier process has said so
            return ()
        if parent.canceling or not parent.left:
            return self._end(parent, cause)
        if parent.attempts >= self._attempts_max(order):
            return self._end(parent, cause, self._used_up(parent))
        is_warm = cause.ts_recv - self._ts_recovered > WARM_NS
        if not is_warm and not self._markets.has_books(order.instrument_id):
            return [self._pause(parent, cause)]
        markets = self._markets.of(order.instrument_id, order.side, parent.avoided)
        if parent.benchmark is None and not parent.rounds:
            parent.benchmark = best_price(order.side, order.quantity, markets)
        # An order with a limit is to trade if it can: its last parts do not stop at what was seen.
        is_last = parent.attempts + 1 >= self._attempts_max(order)
        legs = self._legs(parent, markets, cause, at_limit=is_last)
        if not legs:
            return self._find_nothing(parent, cause, markets)
        parent.begin_round(cause.ts_recv)
        out: list[Event] = []
        for leg in legs:
            part = SubmitOrder(
                cause.ts_event, cause.ts_recv, parent.part_id(), order.strategy_id, leg.venue,
                order.instrument_id, order.side, OrderType.LIMIT, leg.quantity, leg.price,
                TimeInForce.IOC, reduce_only=order.reduce_only, parent_id=order.client_order_id,
            )  # fmt: skip
            self._add(parent, part)
            out.append(part)
        return out

    def _legs(
        self, parent: Parent, markets: Sequence[VenueMarket], cause: Event, *, at_limit: bool
    ) -> list[Leg]:
        """Where what is left goes now; to a venue that just refused another order only if it must.

        Such a refusal may not concern this order: rather than not at all it is tried there, too.
        """
        order, most = parent.order, self._config.legs_max
        lately = self._refusals.at(order.instrument_id, order.side, cause.ts_recv)
        others = [market for market in markets if market.venue not in lately]
        if len(others) < len(markets):
            parent.passed_over |= lately
            legs = split(order.side, parent.left, order.price, others, most, at_limit=at_limit)
            if legs:
                return legs
        return split(order.side, parent.left, order.price, markets, most, at_limit=at_limit)

    def _attempts_max(self, order: SubmitOrder) -> int:
        config, at_market = self._config, order.order_type is OrderType.MARKET
        return config.market_attempts_max if at_market else config.rounds_max

    def _find_nothing(self, parent: Parent, cause: Event, markets: Sequence[VenueMarket]) -> Events:
        """No book has anything for it now: an order at the market waits for the next ones."""
        order = parent.order
        why = _for_good(order, parent.left, markets)
        if why or self._markets.are_all(order.instrument_id, parent.avoided):
            return self._end(parent, cause, why)
        parent.find_nothing()
        if parent.attempts >= self._attempts_max(order):
            why = self._used_up(parent, "NO_LIQUIDITY" if markets else "NO_MARKET")
            return self._end(parent, cause, _poor(order, markets) or why)
        return [self._pause(parent, cause)]

    def _used_up(self, parent: Parent, code: str = "ATTEMPTS_USED_UP") -> str:
        limit = self._attempts_max(parent.order)
        return f"{code} limit={limit} value={parent.attempts} left={parent.left:f}"

    def _end(self, parent: Parent, cause: Event, why: str = "") -> Events:
        order = parent.order
        head, order_id = self._head(cause, order), order.client_order_id
        filled = parent.filled
        out: list[Event] = []
        if parent.canceling:
            out += self._emit(OrderCanceled(*head, order_id, filled, ""))
        elif parent.left:
            reason = "; ".join([*([why] if why else []), *parent.refusals()])
            out += self._emit(OrderExpired(*head, order_id, filled, reason))
        price, shortfall = parent.price(), parent.shortfall_bps()
        if price is not None and shortfall is not None and parent.benchmark is not None:
            rounds, legs = parent.rounds, len(parent.parts)
            measured = BestExecution(
                *head, order.side, filled, price, parent.benchmark, shortfall, rounds, legs
            )
            out += [measured, Measured(measured.ts_event, measured.ts_recv, measured)]
        self._forget(parent)
        return out

    def _cancel(self, event: CancelApproved) -> Events:
        cancel = event.cancel
        parent = self._parents.get(cancel.client_order_id)
        if cancel.venue != SMART_VENUE:
            return ()
        self._wholes.fold(event)
        if parent is None:
            whole = self._wholes.get(cancel.client_order_id)
            state = "unknown to us" if whole is None else whole.state
            rejected = CancelRejected(
                event.ts_event, event.ts_recv, cancel.client_order_id, cancel.strategy_id,
                SMART_VENUE, cancel.instrument_id, cancel.command_id, "ORDER_NOT_WORKING",
                f"limit=a working order value={state}",
            )  # fmt: skip
            return (rejected,) if self._live else ()
        parent.canceling = True
        if not self._live:
            return ()
        out: list[Event] = [
            CancelOrder(
                event.ts_event, event.ts_recv, f"c-{part.client_order_id}",
                part.client_order_id, part.strategy_id, part.venue, part.instrument_id,
            )
            for part in parent.parts
            if not part.is_terminal
        ]  # fmt: skip
        return [*out, *self._go_on(parent, event)]

    # -- the parts ---------------------------------------------------------------------------------

    def _own_part(self, part: SubmitOrder) -> Events:
        """A part that an earlier process sent, or that the stream kept in place of ours."""
        parent = self._parents.get(part.parent_id)
        if parent is None:
            if part.parent_id and not self._live and part.parent_id not in self._wholes:
                self._keep_early(part)
            return ()
        known = parent.parts.get(part.client_order_id)
        if known is not None and _terms(known) != _terms(part):
            parent.parts.pop(part.client_order_id)  # it was decided before, and like this
        if known is None and part.ts_recv != parent.ts_round:
            parent.rounds, parent.ts_round = parent.rounds + 1, part.ts_recv
        self._add(parent, part)
        return ()

    def _add(self, parent: Parent, part: SubmitOrder) -> None:
        parent.add(part)
        self._of_part[part.client_order_id] = parent.order.client_order_id

    def _order_event(self, event: Any) -> Events:
        order_id = client_order_id_of(event)
        if getattr(event, "venue", "") == SMART_VENUE:
            return () if self._live else self._own_word(event)
        parent = self._parents.get(self._of_part.get(order_id, ""))
        if parent is None:
            return ()
        part = parent.parts.fold(event)
        if part is None:
            return ()
        out: list[Event] = []
        if isinstance(event, OrderFilled):
            parent.note(part, event.fill)
            out += self._fill(parent, event)
        elif isinstance(event, OrderDenied | OrderRejected):
            parent.avoided[part.venue] = f"{event.reason} {event.detail}".strip()
            if self._live and isinstance(event, OrderRejected):
                self._refusals.note(event, part.side)
        elif isinstance(event, OrderAccepted):
            out += self._accept(parent, event)
        if not self._live:
            self._forget_if_over(parent)
            return ()
        if parent.is_waiting:
            return out
        parent.end_round()
        is_last = parent.attempts >= self._attempts_max(parent.order)
        if parent.canceling or not parent.left or is_last:
            return [*out, *self._go_on(parent, event)]
        return [*out, self._pause(parent, event)]

    def _own_word(self, event: OwnWord) -> Events:
        """What an earlier process said of a whole."""
        order_id = event.client_order_id
        if order_id not in self._wholes:
            self._keep_early(event)
            return ()
        self._wholes.fold(event)
        parent = self._parents.get(order_id)
        if parent is not None:
            self._forget_if_over(parent)
        return ()

    def _keep_early(self, word: OwnWord) -> None:
        whole_id = word.parent_id if isinstance(word, SubmitOrder) else word.client_order_id
        self._early.setdefault(whole_id, []).append(word)
        if len(self._early) > EARLY_MAX:
            del self._early[next(iter(self._early))]

    def _accept(self, parent: Parent, event: OrderAccepted) -> Events:
        order = parent.order
        whole = self._wholes.get(order.client_order_id)
        if whole is None or whole.venue_order_id:
            return ()
        return self._emit(OrderAccepted(*self._head(event, order), order.client_order_id))

    def _fill(self, parent: Parent, event: OrderFilled) -> Events:
        theirs, order = event.fill, parent.order
        fill = Fill(
            f"{event.venue}-{theirs.fill_id}", theirs.side, theirs.price, theirs.quantity,
            theirs.fee, theirs.fee_asset, theirs.liquidity_side, theirs.ts_event,
        )  # fmt: skip
        head = self._head(event, order)
        filled, left = parent.filled, parent.left
        return self._emit(OrderFilled(*head, order.client_order_id, fill, filled, left))

    # -- time --------------------------------------------------------------------------------------

    def _pause(self, parent: Parent, cause: Event) -> SetTimer:
        config = self._config
        pause_ms = min(config.pause_ms << min(parent.fruitless, 16), config.pause_ms_max)
        at_ns = cause.ts_recv + max(pause_ms, config.pause_ms) * 1_000_000
        key = f"route/{parent.order.client_order_id}"
        return SetTimer(cause.ts_event, cause.ts_recv, key, at_ns)

    def _timer(self, event: TimerFired) -> Events:
        kind, _, order_id = event.key.partition("/")
        parent = self._parents.get(order_id) if kind == "route" else None
        return () if parent is None else self._go_on(parent, event)

    def _instrument(self, event: Instrument) -> Events:
        told = self._markets.on_instrument(event)
        return told if self._live else ()

    def _recovered(self, event: Recovered) -> Events:
        self._live = True
        self._ts_recovered = event.ts_recv
        # The books are not known yet: what is left goes on after a pause.
        pauses = [self._pause(parent, event) for parent in self._parents.values()]
        # Of what was described before this process was live nobody has been told.
        return [*self._markets.together(), *pauses]

    # -- inside ------------------------------------------------------------------------------------

    def _is_over(self, parent: Parent) -> bool:
        """Whether the end of the whole was told."""
        whole = self._wholes.get(parent.order.client_order_id)
        return whole is None or whole.is_terminal

    def _forget_if_over(self, parent: Parent) -> None:
        if self._is_over(parent) and not parent.is_waiting:
            self._forget(parent)

    def _forget(self, parent: Parent) -> None:
        self._parents.pop(parent.order.client_order_id, None)
        for part in parent.parts:
            self._of_part.pop(part.client_order_id, None)

    def _emit(self, event: Event) -> Events:
        whole: Order | None = self._wholes.get(client_order_id_of(event))
        was_over = whole is not None and whole.is_terminal
        changed = self._wholes.fold(event)
        if isinstance(event, OrderSubmitted):
            return (event,)
        if changed is None or (was_over and not isinstance(event, OrderFilled)):
            return ()
        return (event,)

    @staticmethod
    def _head(cause: Event, order: SubmitOrder) -> tuple[int, int, str, str, str, str]:
        return (
            cause.ts_event, cause.ts_recv, order.client_order_id, order.strategy_id, SMART_VENUE,
            order.instrument_id,
        )  # fmt: skip


def _for_good(order: SubmitOrder, left: Decimal, markets: Sequence[VenueMarket]) -> str:
    """Why to wait for other books is of no use; "" where it may be."""
    best, limit = best_level(order.side, markets), order.price
    if best is None:
        return "" if limit is None else "NO_MARKET limit=a level of a book value=none"
    smallest = least(best, markets)
    if limit is not None and (best - limit) * order.side.sign > 0:
        return f"NO_LIQUIDITY limit={limit} value={best}"
    if left < smallest:
        return f"REST_TOO_SMALL limit={smallest:f} value={left:f}"
    if limit is None:
        return ""
    there = max(within(order.side, limit, market) for market in markets)
    return _poor(order, markets) or f"LIQUIDITY_TOO_SMALL limit={smallest:f} value={there:f}"


def _poor(order: SubmitOrder, markets: Sequence[VenueMarket]) -> str:
    """That no balance covers the least that can be traded; "" where one does."""
    best = best_level(order.side, markets)
    money = None if best is None else lacking(order.side, best, markets)
    return "" if money is None else f"BALANCE_INSUFFICIENT limit={money[0]:f} value={money[1]:f}"


def _terms(order: Order | SubmitOrder) -> tuple[Any, ...]:
    return order.venue, order.quantity, order.price
