"""What the gateway does for a request: it asks the core, the ledger or the bus, within bounds."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple, TypeVar

import msgspec

from tickbus import codec, ledger_api, ledger_client, subjects
from tickbus.bus import Bus, BusError, RequestTimeout
from tickbus.codec import Hop, MalformedMessage
from tickbus.config import VenueConfig
from tickbus.events import (
    BookDepth,
    BookSnapshot,
    CancelAllOrders,
    CancelOrder,
    Event,
    Instrument,
    ServiceStatus,
    SubmitOrder,
)
from tickbus.order import WORKING, Order, OrderState
from tickbus.runtime import Context
from tickbus_api.access.principal import Principal
from tickbus_api.calls import note_cancels, note_wish
from tickbus_api.config import ApiConfig
from tickbus_api.core import ApiCore, OrderChanged
from tickbus_api.killswitch import KillSwitch
from tickbus_api.outcomes import closed, is_decided, outcome, same, unknown_order
from tickbus_api.parsing import Changes, OrderRequest, nearest
from tickbus_api.problems import Problem, invalid, shown, unavailable
from tickbus_api.views import deeper
from tickbus_api.waiting import Waiters, until
from tickbus_api.wellness import Wellness, bus_problem

IDEMPOTENCY_KEY_MAX = 255
STATUS_WAIT_S = 0.3
BOOK_TIMEOUT_S = 0.5
A = TypeVar("A", bound=ledger_api.Answer)


def _nobody() -> None:
    """Nobody listens."""


class OrderFilter(NamedTuple):
    """Which orders a list is about; empty matches everything."""

    states: tuple[OrderState, ...] = ()
    strategy_id: str = ""
    venue: str = ""
    instrument_id: str = ""
    since_ns: int = 0
    until_ns: int = 0

    def matches(self, order: Order) -> bool:
        """Whether `order` belongs on the list."""
        return (
            (not self.states or order.state in self.states)
            and self.strategy_id in ("", order.strategy_id)
            and self.venue in ("", order.venue)
            and self.instrument_id in ("", order.instrument_id)
            and self.since_ns <= order.ts_created
            and (not self.until_ns or order.ts_created <= self.until_ns)
        )


class Configured(NamedTuple):
    """Names that the configuration gives, whether or not they are in use."""

    venues: tuple[str, ...]
    instruments: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    accounts: tuple[VenueConfig, ...] = ()
    name: str = "tickbus"
    mode: str = "simulated"


class Gateway:
    """The gateway's operations; usable once `context` is set."""

    def __init__(
        self, core: ApiCore, config: ApiConfig, run_id: str, configured: Configured,
        killswitch: KillSwitch,
    ) -> None:  # fmt: skip
        self.core = core
        self.killswitch = killswitch
        self.config = config
        self.context: Context | None = None
        self.waiters = Waiters()
        self.wellness = Wellness(lambda: bus_problem(self._context.bus), self._ledger_problem)
        self.on_step: Callable[[], None] = _nobody
        """Called at each step of an order, in the way of it: it must only note that."""
        self.run_id = run_id
        self.configured = configured
        self.venues = configured.venues
        self._venue = configured.venues[0]
        self._orders = 0
        self._commands = 0

    async def on_changed(self, change: OrderChanged, hops: tuple[Hop, ...]) -> None:
        """The core's word that an order took a step."""
        self.waiters.tell(change)
        self.on_step()

    # -- market ----------------------------------------------------------------------------------

    def instrument(self, symbol: str, venue: str = "") -> Instrument:
        """The instrument meant by `symbol`, at the main venue first. Raises Problem."""
        core = self.core
        self.require_venue(venue)
        found = core.find(symbol, venue or self._venue)
        is_heard = any(known == (venue or self._venue) for known, _ in core.instruments)
        if found is None and not venue and is_heard:
            found = core.find(symbol)  # the main venue does not trade it
        if found is not None:
            return found
        if not core.instruments or (not venue and not is_heard):
            raise unavailable(
                "INSTRUMENTS_UNKNOWN",
                f"no instrument of {venue or self._venue} is known yet: its feed published none",
                "wait for the feed (GET /api/v1/status says what it waits for), then repeat",
            )
        known = core.known()
        near = nearest(symbol.upper(), [*known, *(i.symbol for i in core.instruments.values())])
        listed = ", ".join(near or known[:10])
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "UNKNOWN_SYMBOL",
            f"symbol: {shown(symbol)!r} is not traded here" + (f" at {venue}" if venue else ""),
            field="symbol",
            value=symbol,
            remedy=f"{'did you mean' if near else 'known are'} {listed}{'?' if near else ''}",
            extra={"nearest": near},
        )

    def require_venue(self, venue: str) -> None:
        """Refuse a venue that nobody here knows; "" is any. Raises Problem."""
        known = sorted({*self.venues, *(key[0] for key in self.core.instruments)})
        if venue and venue not in known:
            near = nearest(venue, known, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise invalid("venue", venue, f"there is no {shown(venue)!r} here", remedy)

    async def depth(self, instrument: Instrument, levels: int) -> BookDepth:
        """At least `levels` levels per side where the book has them. Raises Problem."""
        view = self.core.depths.get((instrument.venue, instrument.instrument_id))
        if view is not None and levels <= min(len(view.bids), len(view.asks)):
            return view
        # The view holds only the best levels; the book service has the rest.
        subject = subjects.book_snapshot_request(instrument.venue)
        query = codec.encode_value((instrument.instrument_id, levels))
        try:
            answer = await self._context.bus.request(subject, query, BOOK_TIMEOUT_S)
            return deeper(codec.decode_value(answer, BookSnapshot), view)
        except (RequestTimeout, MalformedMessage) as error:
            # A refusal is none: the book is out of step, and the last view says that it is stale.
            if view is not None:
                return view
            raise unavailable(
                "DEPTH_UNKNOWN",
                f"no book of {instrument.instrument_id} has been seen yet",
                "wait for the feed and the book service (GET /api/v1/status), then repeat",
            ) from error

    # -- orders ----------------------------------------------------------------------------------

    async def submit(
        self, request: OrderRequest, idempotency_key: str, by: Principal
    ) -> tuple[HTTPStatus, Order]:
        """Send an order to risk and wait for what becomes of it. Raises Problem."""
        instrument = self.instrument(request.symbol, request.venue)
        submit = self.wish(request, instrument, self._new_id(idempotency_key, by), by)
        now, order_id = submit.ts_recv, submit.client_order_id
        if idempotency_key and (earlier := await self._find(order_id)) is not None:
            return HTTPStatus.OK, same(earlier, submit)
        answer = await self._submitted(submit)
        self._context.telemetry.observe_ns("post_order", self._context.clock.now_ns() - now)
        return answer

    def wish(
        self, request: OrderRequest, instrument: Instrument, order_id: str, by: Principal
    ) -> SubmitOrder:
        """The order that `request` asks for, as risk is to see it."""
        now = self._context.clock.now_ns()
        return SubmitOrder(
            now, now, order_id, subjects.MANUAL, instrument.venue, instrument.instrument_id,
            request.side, request.order_type, request.quantity, request.price,
            request.time_in_force, request.post_only, request.reduce_only, request.trigger_price,
            request.expires_ns, inputs=_placed(by),
        )  # fmt: skip

    async def replace(
        self, order_id: str, changes: Changes, by: Principal
    ) -> tuple[HTTPStatus, Order]:
        """Put a changed order in the place of a working one; the new order. Raises Problem."""
        old = await self._find(order_id)
        if old is None:
            raise unknown_order(order_id)
        if not old.is_working:
            raise closed(old)
        if old.strategy_id != subjects.MANUAL:
            raise Problem(
                HTTPStatus.CONFLICT,
                "ORDER_OF_A_STRATEGY",
                f"{order_id} is {old.strategy_id}'s, who would not know the order in its place",
                remedy="cancel it, and leave the rest to the strategy",
                extra={"order_id": order_id, "strategy": old.strategy_id},
            )
        if changes.price is not None and not old.order_type.has_limit:
            remedy = "change its quantity alone, or cancel it and place another"
            raise invalid("price", changes.price, f"a {old.order_type} order has none", remedy)
        trigger = changes.trigger_price
        if trigger is not None and not old.order_type.has_trigger:
            remedy = "change its price or quantity, or cancel it and place a stop"
            raise invalid("trigger_price", trigger, f"a {old.order_type} order has none", remedy)
        now = self._context.clock.now_ns()
        submit = SubmitOrder(
            now, now, self._new_id("", by), old.strategy_id, old.venue, old.instrument_id, old.side,
            old.order_type, changes.quantity or old.quantity, changes.price or old.price,
            old.time_in_force, old.post_only, old.reduce_only, trigger or old.trigger_price,
            old.expires_ns,
            old.client_order_id, old.parent_id, _placed(by),
        )  # fmt: skip
        return await self._submitted(submit)

    async def _submitted(self, submit: SubmitOrder) -> tuple[HTTPStatus, Order]:
        order_id = submit.client_order_id

        def decided(_: OrderChanged | None) -> bool:
            order = self.core.orders.get(order_id)
            return order is not None and is_decided(order)

        with self.waiters.watch([order_id]) as changes:
            await self._send(submit, order_id)
            await until(changes, decided, self.config.order_wait_s)
        order = self.core.orders.get(order_id) or Order.from_submit(submit)
        return outcome(order)

    async def cancel(self, order_id: str) -> tuple[HTTPStatus, Order]:
        """Cancel one order and wait for what becomes of it. Raises Problem."""
        order = await self._find(order_id)
        if order is None:
            raise unknown_order(order_id)
        if order.is_terminal:
            raise closed(order)
        self._commands += 1
        now = self._context.clock.now_ns()
        cancel = CancelOrder(
            ts_event=now,
            ts_recv=now,
            command_id=f"{subjects.MANUAL}-{self.run_id}-c{self._commands}",
            client_order_id=order_id,
            strategy_id=subjects.MANUAL,  # who wishes it; whose order it is, risk knows
            venue=order.venue,
            instrument_id=order.instrument_id,
        )
        refusals: list[str] = []

        def decided(change: OrderChanged | None) -> bool:
            if change is not None and change.refusal:
                refusals.append(change.refusal)
            return bool(refusals) or order.is_terminal

        with self.waiters.watch([order_id]) as changes:
            await self._send(cancel, order_id)
            await until(changes, decided, self.config.order_wait_s)
        if order.is_terminal and order.state is not OrderState.CANCELED:
            raise closed(order)
        if order.state is OrderState.CANCELED:
            return HTTPStatus.OK, order
        if refusals:
            raise Problem(
                HTTPStatus.CONFLICT,
                "CANCEL_REJECTED",
                f"the venue refused to cancel {order_id}: {refusals[-1]}",
                remedy=f"see GET /api/v1/orders/{order_id} for what became of it",
                extra={"order_id": order_id, "state": order.state},
            )
        return HTTPStatus.ACCEPTED, order

    async def cancel_all(self, wanted: OrderFilter) -> tuple[HTTPStatus, str, list[Order], str]:
        """Cancel every working order that matches, and wait; the orders are as they are then.

        The last is why they may not be all: cancelling waits for no books. Raises Problem.
        """
        self.require_venue(wanted.venue)
        unlisted = ""
        try:
            working = (await self.orders(wanted._replace(states=tuple(WORKING)), 1000, ""))[0]
        except Problem as problem:
            if problem.status is not HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            unlisted = f"which orders work: {problem.detail}"
            working = [o for o in self.core.orders if o.is_working and wanted.matches(o)]
        orders = [self.core.learn(order) for order in working]
        self._commands += 1
        now = self._context.clock.now_ns()
        command_id = f"{subjects.MANUAL}-{self.run_id}-c{self._commands}"
        where = (wanted.venue, wanted.strategy_id, wanted.instrument_id)
        command = CancelAllOrders(now, now, command_id, *where, wisher=subjects.MANUAL)

        def decided(_: OrderChanged | None) -> bool:
            return not any(order.is_working for order in orders)

        with self.waiters.watch(o.client_order_id for o in orders) as changes:
            note_cancels(command, orders)
            await self._send(command, command_id)
            done = await until(changes, decided, self.config.order_wait_s)
        done = done and not unlisted
        return HTTPStatus.OK if done else HTTPStatus.ACCEPTED, command_id, orders, unlisted

    async def orders(self, wanted: OrderFilter, limit: int, cursor: str) -> tuple[list[Order], str]:
        """A page of orders, newest first, and the cursor of the next. Raises Problem."""
        query = ledger_api.OrdersQuery(**wanted._asdict(), limit=limit, cursor=cursor)
        answer = await self.ask(ledger_api.ORDERS, query, ledger_api.OrdersAnswer)
        page = [self.core.newest(order) for order in answer.orders]
        if not cursor:
            # The ledger may be a few milliseconds behind; what we saw since its newest comes first.
            listed = {order.client_order_id for order in page}
            newest = max((order.ts_created for order in page), default=0)
            fresh = [o for o in self.core.followed() if o.ts_created >= newest]
            page += [o for o in fresh if o.client_order_id not in listed]
            page.sort(key=lambda order: order.ts_created, reverse=True)
        # Not cut to `limit`: what was cut off would be on no page, the next begins behind it.
        return [order for order in page if wanted.matches(order)], answer.next_cursor

    async def in_books(self, query: ledger_api.OrdersQuery) -> bool:
        """Whether the books hold an order that `query` matches. Raises Problem."""
        return bool((await self.ask(ledger_api.ORDERS, query, ledger_api.OrdersAnswer)).orders)

    async def order(self, order_id: str) -> tuple[Order, tuple[ledger_api.OrderStep, ...]]:
        """One order with its events. Raises Problem."""
        query = ledger_api.OrderQuery(client_order_id=order_id)
        answer = await self.ask(ledger_api.ORDER, query, ledger_api.OrderAnswer)
        known = self.core.orders.get(order_id)
        order = known if answer.order is None else self.core.newest(answer.order)
        if order is None:
            raise unknown_order(order_id)
        return order, answer.steps

    # -- books and status --------------------------------------------------------------------------

    async def fills(self, query: ledger_api.FillsQuery) -> ledger_api.FillsAnswer:
        """A page of fills. Raises Problem."""
        return await self.ask(ledger_api.FILLS, query, ledger_api.FillsAnswer)

    async def postings(self, query: ledger_api.PostingsQuery) -> ledger_api.PostingsAnswer:
        """A page of what moved balances. Raises Problem."""
        return await self.ask(ledger_api.POSTINGS, query, ledger_api.PostingsAnswer)

    async def equity(self, query: ledger_api.EquityQuery) -> ledger_api.EquityAnswer:
        """Points of an equity curve. Raises Problem."""
        return await self.ask(ledger_api.EQUITY, query, ledger_api.EquityAnswer)

    async def audit(self, query: ledger_api.AuditQuery) -> ledger_api.AuditAnswer:
        """A page of the audit log. Raises Problem."""
        return await self.ask(ledger_api.AUDIT, query, ledger_api.AuditAnswer)

    async def portfolio(self) -> ledger_api.PortfolioAnswer:
        """The whole account, valued now. Raises Problem."""
        query = ledger_api.PortfolioQuery()
        return await self.ask(ledger_api.PORTFOLIO, query, ledger_api.PortfolioAnswer)

    async def ask(self, subject: str, query: msgspec.Struct, kind: type[A]) -> A:
        """What the ledger answers to `query` on `subject`. Raises Problem."""
        timeout_s = self.config.ledger_timeout_s
        try:
            return await ledger_client.ask(self._context.bus, subject, query, kind, timeout_s)
        except RequestTimeout as error:
            raise unavailable(
                "LEDGER_UNAVAILABLE",
                f"the ledger did not answer within {timeout_s:g} s",
                "see GET /api/v1/status for what it waits for, then repeat",
            ) from error
        except ledger_client.LedgerRefused as error:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "QUERY_REFUSED",
                str(error),
                remedy="correct the query; a cursor is good only for the query that gave it",
            ) from error
        except MalformedMessage as error:
            self._context.quarantine(subject, b"", error)
            raise unavailable(
                "LEDGER_UNINTELLIGIBLE",
                f"the ledger's answer could not be read: {error}",
                "run the same version of every service",
            ) from error

    async def record(self, event: Event) -> None:
        """Put on record what somebody did; it returns once the stream keeps it. Raises Problem."""
        try:
            async with asyncio.timeout(self.config.order_wait_s):
                await self._context.publish([event])
        except (TimeoutError, BusError) as error:
            raise unavailable(
                "BUS_UNAVAILABLE",
                f"the bus did not confirm it within {self.config.order_wait_s:g} s",
                "it may have arrived: look before you repeat it",
            ) from error

    async def services(self) -> list[ServiceStatus]:
        """What every running service says of itself, by name."""
        answers = await self._context.bus.gather(subjects.STATUS, b"", STATUS_WAIT_S)
        statuses = []
        for payload in answers:
            try:
                statuses.append(codec.decode_value(payload, ServiceStatus))
            except MalformedMessage as error:
                self._context.quarantine(subjects.STATUS, payload, error)
        return sorted(statuses, key=lambda status: (status.service, status.instance))

    def now_ns(self) -> int:
        """The time, ns UTC."""
        return self._context.clock.now_ns()

    async def keep(self, bucket: str, key: str, value: bytes) -> None:
        """Keep what somebody wants as the last value of `key`. Raises BusError."""
        await self._context.bus.kv_put(bucket, key, value)

    @property
    def bus(self) -> Bus:
        """The bus of the running service."""
        return self._context.bus

    # -- inside ------------------------------------------------------------------------------------

    async def _ledger_problem(self) -> str:
        """Why the ledger cannot be used; "" when it can."""
        try:
            await self.portfolio()
        except Problem as problem:
            return problem.detail
        return ""

    @property
    def _context(self) -> Context:
        if self.context is None:
            raise RuntimeError("the gateway is used before the service has started")
        return self.context

    def _new_id(self, idempotency_key: str, by: Principal) -> str:
        if not idempotency_key:
            self._orders += 1
            return f"{subjects.MANUAL}-{self.run_id}-{self._orders}"
        if len(idempotency_key) > IDEMPOTENCY_KEY_MAX:
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                "IDEMPOTENCY_KEY_INVALID",
                f"Idempotency-Key has more than {IDEMPOTENCY_KEY_MAX} characters",
                remedy="use a shorter key, for example a UUID",
            )
        # The same key gives the same order id, which is what makes a repeat recognisable anywhere.
        # Of two users with one key each has an order; none sees the other's.
        owned = idempotency_key if by.is_local else f"{by.user}\0{idempotency_key}"
        digest = hashlib.sha256(owned.encode()).hexdigest()
        return f"{subjects.MANUAL}-k{digest[:24]}"

    async def _find(self, order_id: str) -> Order | None:
        known = self.core.orders.get(order_id)
        if known is not None and self.core.is_followed(order_id):
            return known
        query = ledger_api.OrderQuery(client_order_id=order_id)
        try:
            answer = await self.ask(ledger_api.ORDER, query, ledger_api.OrderAnswer)
        except Problem:
            if known is None:
                raise
            return known  # the ledger is away; what it said before has to do
        return known if answer.order is None else self.core.learn(answer.order)

    async def _send(self, event: Event, order_id: str) -> None:
        note_wish(event)
        # Durable publishing retries for much longer than a person should wait.
        await self._bounded(self._context.publish([event]), order_id)

    async def _bounded(self, sending: Awaitable[None], order_id: str) -> None:
        try:
            async with asyncio.timeout(self.config.order_wait_s):
                await sending
        except (TimeoutError, BusError) as error:
            raise unavailable(
                "BUS_UNAVAILABLE",
                f"the bus did not confirm {order_id} within {self.config.order_wait_s:g} s",
                f"it may have arrived: look at GET /api/v1/orders/{order_id} before you repeat it,"
                " or repeat it with the same Idempotency-Key",
            ) from error


def _placed(by: Principal) -> dict[str, str]:
    """What an order by hand carries in the place of what a strategy decided on: who placed it."""
    return {"placed_by": by.name}
