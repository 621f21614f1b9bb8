"""The paper venue: fills orders against the live book, with fees, queue position and balances.

Consumes: VenueSubmit, VenueCancel, VenueQuery; BookSnapshot, BookDelta, Trade, Funding, FeedStatus;
Instrument, TimerFired, Recovered; after a restart the history of its account.
Produces: OrderReport, RequestFailed, AccountReport, PaymentsReport, VenueSnapshot, Alarm; SetTimer.
Invariants: a level is not sold twice before the market refreshes it; a resting order fills only
when the market trades through its price, or at its price once the queue before it is gone; a stop
works from the first trade at its trigger price on; without derivatives no asset goes below zero; a
reduce-only order never turns a position round; a funding time is paid for once.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tickbus.events import (
    AccountUpdated,
    BookDelta,
    BookSnapshot,
    Event,
    FeedState,
    FeedStatus,
    FeeSchedule,
    Fill,
    Funding,
    Instrument,
    KeyframeWanted,
    LiquiditySide,
    OrderApproved,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimeInForce,
    TimerFired,
    Trade,
)
from tickbus.portfolio import Position
from tickbus_execution.config import PaperConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.external import EXTERNAL
from tickbus_execution.memory import IDS_MAX
from tickbus_execution.paper_account import MONEY_STEP, PaperAccount
from tickbus_execution.paper_market import Match, PaperMarket, Resting
from tickbus_execution.snapshot import PaperMemory
from tickbus_execution.venue import (
    AccountReport,
    Alarm,
    OrderReport,
    Outcome,
    PaymentsReport,
    Request,
    RequestFailed,
    VenueCancel,
    VenueQuery,
    VenueSnapshot,
    VenueStatus,
    VenueSubmit,
)

ZERO = Decimal(0)
Events = Sequence[Event]
Amounts = list[tuple[str, Decimal]]


class PaperVenue:
    """One paper account; see the module's first lines."""

    def __init__(
        self, venue: str, config: PaperConfig, fees: FeeSchedule, run_id: str, *,
        dry_run: bool = False,
    ) -> None:  # fmt: skip
        self._venue = venue
        self._run_id = run_id
        self._latency_ns = int(config.latency_ms * 1_000_000)
        self._dry_run = dry_run
        self._markets: dict[str, PaperMarket] = {}
        self._money = PaperAccount(venue, config, fees, self._markets)
        self._delayed: list[VenueSubmit | VenueCancel] = []
        self._history: dict[str, tuple[SubmitOrder, Decimal]] = {}
        # What an earlier process did and died over: its approval comes again, behind its words.
        self._early: dict[str, Decimal] = {}
        self._orders: dict[str, OrderReport] = {}
        self._number = 0
        self._live = False

    # -- snapshots ---------------------------------------------------------------------------------

    def snapshot(self) -> tuple[Amounts, list[tuple[SubmitOrder, Decimal]], Amounts]:
        """What folding the history gave: holdings by asset, and what was filled of each order."""
        free = list(self._money.free.items())
        return free, list(self._history.values()), list(self._early.items())

    def restore(
        self, free: Amounts, filled: list[tuple[SubmitOrder, Decimal]], early: Amounts
    ) -> None:
        """Take over what `snapshot` gave."""
        self._money.free = dict(free)
        self._history = {order.client_order_id: (order, done) for order, done in filled}
        self._early = dict(early)

    # -- events ------------------------------------------------------------------------------------

    def handle(self, event: Any, /) -> Events:
        """The venue's reports after `event`."""
        match event:
            case BookDelta() | BookSnapshot():
                market = self._market(event.instrument_id)
                fills = self._fills(event, market, market.on_book(event))
                wish = market.replica.wish(event) if isinstance(event, BookDelta) else ()
                return (*fills, *wish)
            case FeedStatus(state=FeedState.SYNCING | FeedState.DISCONNECTED):
                self._market(event.instrument_id).replica.forget()
                return ()
            case FeedStatus(state=FeedState.LIVE):
                return self._market(event.instrument_id).replica.ask(event)
            case Trade():
                market = self._market(event.instrument_id)
                fills = self._fills(event, market, market.on_trade(event))
                return (*fills, *self._trigger(market, event), *self._watch(market, event))
            case Funding():
                return self._fund(event) if self._live else ()
            case VenueSubmit() | VenueCancel():
                return self._delay(event)
            case VenueQuery():
                return self._query(event)
            case TimerFired(key="paper"):
                return self._due(event)
            case Instrument():
                if event.venue == self._venue:
                    self._market(event.instrument_id).instrument = event
                return ()
            case Recovered():
                return self._begin(event)
            case OrderApproved() if event.order.client_order_id in self._early:
                return self._remember(event)
            case _:
                return () if self._live else self._remember(event)

    def _market(self, instrument_id: str) -> PaperMarket:
        market = self._markets.get(instrument_id)
        if market is None:
            market = self._markets[instrument_id] = PaperMarket()
        return market

    def _remember(self, event: Any) -> Events:
        match event:
            case AccountUpdated():
                for balance in event.balances:
                    self._money.free[balance.asset] = balance.total
            case OrderApproved():
                order_id = event.order.client_order_id
                self._history[order_id] = (event.order, self._early.pop(order_id, ZERO))
                if len(self._history) > IDS_MAX:
                    del self._history[next(iter(self._history))]
            case OrderSubmitted() if event.client_order_id not in self._history:
                self._early[event.client_order_id] = ZERO
            case OrderFilled():
                order_id = event.client_order_id
                order, filled = self._history.get(order_id, (None, ZERO))
                if order is not None:
                    self._history[order_id] = (order, filled + event.fill.quantity)
                elif order_id in self._early:
                    self._early[order_id] += event.fill.quantity
        return ()

    def open(self, positions: Mapping[str, Position]) -> None:
        """History is over, and left these `positions`."""
        self._money.open(positions)

    def _begin(self, event: Recovered) -> Events:
        self._live = True
        # Working orders of an earlier process are gone; the core asks for them and is told so.
        snapshot = VenueSnapshot(event.ts_event, event.ts_recv, (), ())
        balances, positions = self._money.balances(), self._money.positions()
        at = (event.ts_recv, event.ts_recv)
        return (AccountReport(*at, balances, complete=True, positions=positions), snapshot)

    # -- requests ----------------------------------------------------------------------------------

    def _delay(self, wish: VenueSubmit | VenueCancel) -> Events:
        if not self._latency_ns:
            return self._do(wish, wish)
        self._delayed.append(wish)
        at_ns = self._delayed[0].ts_recv + self._latency_ns
        return (SetTimer(wish.ts_event, wish.ts_recv, "paper", at_ns),)

    def _due(self, event: TimerFired) -> Events:
        out: list[Event] = []
        while self._delayed and self._delayed[0].ts_recv + self._latency_ns <= event.ts_recv:
            out += self._do(self._delayed.pop(0), event)
        if self._delayed:
            at_ns = self._delayed[0].ts_recv + self._latency_ns
            out.append(SetTimer(event.ts_event, event.ts_recv, "paper", at_ns))
        return out

    def _do(self, wish: VenueSubmit | VenueCancel, now: Event) -> Events:
        return self._submit(wish, now) if isinstance(wish, VenueSubmit) else self._cancel(wish, now)

    def _submit(self, wish: VenueSubmit, now: Event) -> Events:
        order = wish.order
        market = self._market(order.instrument_id)
        reason, detail = self._refusal(order, market)
        if reason:
            failed = self._failed(Request.SUBMIT, Outcome.REFUSED, order, now, reason, detail)
            return (failed,)
        resting = Resting(order, self._next_id())
        self._money.lock(resting, market, 1)
        accepted = self._report(resting, VenueStatus.NEW, now)
        if order.order_type.has_trigger:
            market.arm(resting)
            return (accepted,)
        return (accepted, *self._work(resting, market, now))

    def _next_id(self) -> str:
        self._number += 1
        return f"p{self._run_id}-{self._number}"

    def _work(self, resting: Resting, market: PaperMarket, now: Event) -> Events:
        """Take what the order takes on arrival; let the rest of it stand or expire."""
        out: list[Event] = []
        order, most = resting.order, self._money.reducible(resting.order)
        if most is not None:
            order = msgspec.structs.replace(order, quantity=min(resting.leaves, most))
        for price, size in market.take(order):
            out += self._fill(resting, market, price, size, LiquiditySide.TAKER, now)
        if resting.leaves:
            out += self._rest(resting, market, now)
        return [*out, *self._expire_spent(market, now)]

    def _trigger(self, market: PaperMarket, now: Trade) -> Events:
        out: list[Event] = []
        for resting in market.triggered(now):
            self._money.lock(resting, market, -1)
            kind = OrderType.LIMIT if resting.order.order_type.has_limit else OrderType.MARKET
            resting.order = msgspec.structs.replace(
                resting.order, order_type=kind, trigger_price=None
            )
            reason, _ = self._money.refusal(resting.order, market)
            if reason:
                # What was set aside at the trigger price does not pay for today's market.
                why = "NO_BALANCE" if reason == "INSUFFICIENT_BALANCE" else reason
                out.append(self._report(resting, VenueStatus.EXPIRED, now, reason=why))
                out.append(self._account(now, market))
                continue
            self._money.lock(resting, market, 1)
            out += self._work(resting, market, now)
        return out

    def _refusal(self, order: SubmitOrder, market: PaperMarket) -> tuple[str, str]:
        """Why the order is refused, as (reason, detail); empty when it is not."""
        if self._dry_run:
            return "DRY_RUN", "not sent: execution.mode is dry_run"
        if market.instrument is None or not market.replica.in_step:
            return "NO_BOOK", f"the book of {order.instrument_id} is not in step"
        if order.post_only and market.would_cross(order):
            return "POST_ONLY_WOULD_TAKE", f"limit={market.best(order)} value={order.price}"
        if order.order_type.has_trigger and market.would_trigger(order):
            limit = f"last trade {market.last_price}"
            return "STOP_WOULD_TRIGGER", f"limit={limit} value={order.trigger_price}"
        return self._money.refusal(order, market)

    def _rest(self, resting: Resting, market: PaperMarket, now: Event) -> Events:
        order = resting.order
        stays = order.time_in_force in (TimeInForce.GTC, TimeInForce.GTD)
        if order.order_type is OrderType.LIMIT and stays:
            market.rest(resting)
            return ()
        return self._end(resting, market, VenueStatus.EXPIRED, now)

    def _end(
        self, resting: Resting, market: PaperMarket, status: VenueStatus, now: Event,
        reason: str = "",
    ) -> Events:  # fmt: skip
        """An order that stands nowhere any more is over, and ties nothing up."""
        self._money.lock(resting, market, -1)
        return (self._report(resting, status, now, reason=reason), self._account(now, market))

    def _cancel(self, wish: VenueCancel, now: Event) -> Events:
        cancel = wish.cancel
        market = self._market(cancel.instrument_id)
        resting = market.remove(cancel.client_order_id)
        if resting is None:
            return (
                RequestFailed(
                    now.ts_event, now.ts_recv, Request.CANCEL, Outcome.REFUSED,
                    cancel.client_order_id, cancel.instrument_id, "ORDER_NOT_WORKING",
                    "not in the book", cancel.command_id,
                ),
            )  # fmt: skip
        return self._end(resting, market, VenueStatus.CANCELED, now)

    def _query(self, wish: VenueQuery) -> Events:
        known = self._orders.get(wish.client_order_id)
        if known is not None:
            return (known,)
        order, filled = self._history.get(wish.client_order_id, (None, ZERO))
        if order is None or not self._live:
            return (
                RequestFailed(
                    wish.ts_event, wish.ts_recv, Request.QUERY, Outcome.NOT_FOUND,
                    wish.client_order_id, wish.instrument_id, "ORDER_NOT_FOUND", "not known here",
                ),
            )  # fmt: skip
        return (
            OrderReport(
                wish.ts_event, wish.ts_recv, order.client_order_id, order.instrument_id,
                f"p-{order.client_order_id}", VenueStatus.CANCELED, order.side, order.quantity,
                filled, (), "PAPER_RESTART",
            ),
        )  # fmt: skip

    # -- fills and money ---------------------------------------------------------------------------

    def _fills(self, now: Event, market: PaperMarket, matched: Iterable[Match]) -> Events:
        out: list[Event] = []
        for resting, price, size in matched:
            # Several may have been matched at once, and only the first of them still reduces.
            most = self._money.reducible(resting.order)
            quantity = size if most is None else min(size, most)
            if quantity:
                out += self._fill(resting, market, price, quantity, LiquiditySide.MAKER, now)
            if quantity < size:
                market.remove(resting.order.client_order_id)
                out += self._end(resting, market, VenueStatus.EXPIRED, now, "REDUCE_ONLY")
        return [*out, *self._expire_spent(market, now)] if out else out

    def _fill(
        self, resting: Resting, market: PaperMarket, price: Decimal, quantity: Decimal,
        liquidity: LiquiditySide, now: Event,
    ) -> Events:  # fmt: skip
        order = resting.order
        self._money.lock(resting, market, -1)
        resting.leaves -= quantity
        fill = self._money.fill(
            order, market, price, quantity, liquidity, self._next_id(), now.ts_recv
        )
        if resting.leaves:
            self._money.lock(resting, market, 1)
        status = VenueStatus.PARTIALLY_FILLED if resting.leaves else VenueStatus.FILLED
        return (self._report(resting, status, now, (fill,)), self._account(now, market))

    def _expire_spent(self, market: PaperMarket, now: Event) -> Events:
        """Reduce-only orders that work where nothing is left to reduce are over."""
        out: list[Event] = []
        for resting in market.working():
            if self._money.reducible(resting.order) == ZERO:
                market.remove(resting.order.client_order_id)
                out += self._end(resting, market, VenueStatus.EXPIRED, now, "REDUCE_ONLY")
        return out

    def _fund(self, event: Funding) -> Events:
        """Pay for a funding time that has come, by the last that was said before it."""
        market = self._market(event.instrument_id)
        before, market.funding = market.funding, event
        out: list[Event] = []
        is_due = before is not None and 0 < before.ts_next <= event.ts_event
        if is_due and before is not None and event.ts_next > before.ts_next:
            payment = self._money.fund(market, before, event.ts_event)
            if payment is not None:
                out.append(PaymentsReport(event.ts_event, event.ts_recv, (payment,)))
                out.append(self._account(event, market))
        return [*out, *self._watch(market, event)]

    # -- positions that are watched ----------------------------------------------------------------

    def _watch(self, market: PaperMarket, now: Trade | Funding) -> Events:
        """Close what the wallet does not carry any more; say so where nobody tells of funding."""
        if market.instrument is None or not self._money.held(now.instrument_id):
            return ()
        out: list[Event] = []
        has_mark = market.funding is not None and market.funding.mark_price
        if isinstance(now, Funding) or not has_mark:
            out += self._liquidate(market.instrument.quote, now)
        if self._money.lacks_funding(market, now.ts_recv):
            name = now.instrument_id
            detail = f"{name}: the feed tells no funding time, so holding it costs nothing on paper"
            out.append(Alarm(now.ts_event, now.ts_recv, "paper_without_funding", detail))
        return out

    def _liquidate(self, asset: str, now: Event) -> Events:
        """Close all positions at the market when the wallet is worth less than they must have."""
        spare = self._money.spare(asset)
        if spare >= 0:
            return ()
        out: list[Event] = []
        for market, held in self._money.open_positions(asset):
            assert market.instrument is not None
            if not market.replica.in_step:
                continue  # with the next price
            for resting in market.working():
                market.remove(resting.order.client_order_id)
                out += self._end(resting, market, VenueStatus.EXPIRED, now, "LIQUIDATION")
            side = Side.SELL if held > 0 else Side.BUY
            venue_id, name = self._next_id(), market.instrument.instrument_id
            order = SubmitOrder(
                now.ts_event, now.ts_recv, f"ext-{venue_id}", EXTERNAL, self._venue, name, side,
                OrderType.MARKET, abs(held), None, reduce_only=True,
            )  # fmt: skip
            detail = f"{name} {held:f}: the wallet lacks {-spare.quantize(MONEY_STEP):f} {asset}"
            out.append(Alarm(now.ts_event, now.ts_recv, "paper_liquidation", detail))
            out += self._work(Resting(order, venue_id), market, now)
        return out

    # -- reports -----------------------------------------------------------------------------------

    def _report(
        self, resting: Resting, status: VenueStatus, now: Event, fills: tuple[Fill, ...] = (),
        reason: str = "",
    ) -> OrderReport:  # fmt: skip
        order = resting.order
        # By one clock, ours: the market's may be ahead, and then no account would ever be newer
        # than the order that it contains.
        report = OrderReport(
            now.ts_recv, now.ts_recv, order.client_order_id, order.instrument_id,
            resting.venue_order_id, status, order.side, order.quantity,
            order.quantity - resting.leaves, fills, reason,
        )  # fmt: skip
        self._orders[order.client_order_id] = report
        if len(self._orders) > IDS_MAX:
            del self._orders[next(iter(self._orders))]
        return report

    def _account(self, now: Event, market: PaperMarket) -> AccountReport:
        """What a change in `market` left."""
        assert market.instrument is not None
        balances = self._money.balances(self._money.assets(market))
        positions = self._money.positions(market.instrument.instrument_id)
        return AccountReport(now.ts_recv, now.ts_recv, balances, False, positions)

    @staticmethod
    def _failed(
        request: Request, outcome: Outcome, order: SubmitOrder, now: Event, reason: str, detail: str
    ) -> RequestFailed:
        return RequestFailed(
            now.ts_recv, now.ts_recv, request, outcome, order.client_order_id,
            order.instrument_id, reason, detail,
        )  # fmt: skip


class PaperExecution:
    """The execution core with the paper venue behind it, as one core."""

    memory = PaperMemory

    def __init__(self, core: ExecutionCore, paper: PaperVenue) -> None:
        self.core = core
        core.compares_balances = False  # the account is made of our own fills
        self._paper = paper

    def handle(self, event: Any, /) -> Events:
        """What reaches the bus after both have said all they have to say."""
        out: list[Event] = []
        if isinstance(event, Recovered):
            self._paper.open(self.core.books.positions)
        requests = self._settle(self.core.handle(event), out)
        reports = list(self._paper.handle(event))
        while requests or reports:
            for request in requests:
                reports += self._paper.handle(request)
            requests = []
            for report in reports:
                if isinstance(report, SetTimer | KeyframeWanted | Alarm):
                    out.append(report)
                else:
                    requests += self._settle(self.core.handle(report), out)
            reports = []
        return out

    def snapshot(self) -> PaperMemory:
        """All that folding the order path gave."""
        free, filled, early = self._paper.snapshot()
        known = msgspec.structs.asdict(self.core.snapshot())
        return PaperMemory(**known, free=free, filled=filled, early=early)

    def restore(self, memory: PaperMemory, /) -> None:
        """Know what `memory` says."""
        self.core.restore(memory)
        self._paper.restore(memory.free, memory.filled, memory.early)

    @staticmethod
    def _settle(events: Events, out: list[Event]) -> list[Event]:
        requests: list[Event] = []
        for event in events:
            is_request = isinstance(event, VenueSubmit | VenueCancel | VenueQuery)
            (requests if is_request else out).append(event)
        return requests
