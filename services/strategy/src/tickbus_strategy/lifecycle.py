"""Control over strategies while they run: started, stopped, switched, changed, flattened.

Wraps the core that hosts strategies. Consumes what that one does, and SetStrategy (what people
want, from a bucket), StrategyChanged (its own record, after a restart).
Produces what that one does, and StrategyChanged, StrategyState, Hearing.
Invariants: a wish is applied between two events, once, and put on record before anything follows
from it; one that is refused changes nothing; no other strategy is touched. Of a strategy that was
stopped or switched, every order of before is over or is being cancelled, and until then whoever
sits at its desk does not order. What was applied last holds after a restart; a wish that is not on
record yet is applied then.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tickbus.events import (
    CancelRejected,
    Event,
    Heartbeat,
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
    OrderUnknown,
    Recovered,
    SetStrategy,
    SetTimer,
    StrategyChanged,
    StrategyOutcome,
    StrategyPhase,
    StrategyTerms,
    TimerFired,
)
from tickbus_strategy.core import Events, Seat, StrategyCore, StrategyFailed, strategy_of
from tickbus_strategy.desk import SECOND_NS
from tickbus_strategy.hosting import (
    ChangeNoted,
    Hearing,
    Hosted,
    MakesSeats,
    require_deletable,
)
from tickbus_strategy.making import Refused, heard_in, places, require_hearable
from tickbus_strategy.memory import LifecycleMemory, Told
from tickbus_strategy.quiet import Quiet

ACTOR = "strategies"
"""Who does what nobody wished for."""
TIMER = "/quiet"
"""No strategy's: their timers begin with an id."""
STEP_NS = SECOND_NS // 2
HOSTED_MAX = 200
_ON_ORDERS = frozenset(
    (
        OrderApproved, OrderDenied, OrderSubmitted, OrderReplaced, OrderAccepted, OrderRejected,
        OrderFilled, OrderCanceled, OrderExpired, CancelRejected, OrderUnknown,
    )
)  # fmt: skip
_SEATED = (StrategyPhase.STARTING, StrategyPhase.RUNNING)


class Lifecycle:
    """The strategies of one process and the wishes about them; see the module's first lines."""

    memory = LifecycleMemory

    def __init__(
        self, core: StrategyCore, files: Mapping[str, StrategyTerms], maker: MakesSeats,
        give_state: Callable[[Seat], None] = lambda seat: None,
        keep_state: Callable[[Seat], None] = lambda seat: None,
    ) -> None:  # fmt: skip
        """`files` is what the configuration says; `give_state` is told of each new seat."""
        self.core = core
        self.files = files
        self.hosted: dict[str, Hosted] = {}
        self.told: dict[str, Told] = {}
        self.wishes: dict[str, SetStrategy] = {}
        self._maker = maker
        self._give_state = give_state
        self._keep_state = keep_state
        self._quieting: dict[str, Hosted] = {}
        self._live = False
        self._heard: tuple[str, ...] = ()
        self._handlers: dict[type, Callable[[Any], Events]] = {
            SetStrategy: self._wish,
            StrategyChanged: self._remember,
            Recovered: self._recovered,
            Instrument: self._instrument,
            TimerFired: self._timer,
        }

    def handle(self, event: Any, /) -> Events:
        """What the strategies want after `event`, and what is to be said of them."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            return handler(event)
        out = self.core.handle(event)
        if out:
            out = self._absorb(event, out)
        if self._quieting and type(event) in _ON_ORDERS:
            hosted = self._quieting.get(strategy_of(event))
            if hosted is not None and hosted.quiet is not None:
                hosted.quiet.see(event)
                out = [*out, *self._step(event, hosted)]
        return out

    def snapshot(self) -> LifecycleMemory:
        """All that folding the order path gave; wishes are in a bucket."""
        return LifecycleMemory(self.core.snapshot(), list(self.told.values()))

    def restore(self, memory: LifecycleMemory, /) -> None:
        """Know what `memory` says. Raises KeyError for strategies of somebody else."""
        self.core.restore(memory.strategies)
        self.told = {told.strategy_id: told for told in memory.told}

    def hosts(self, strategy_id: str) -> bool:
        """Whether a strategy is, or would be, this process's."""
        return strategy_id in self.hosted or self._maker.desk(strategy_id) is not None

    def check(self, strategy_id: str, terms: StrategyTerms) -> None:
        """Raise Refused where these terms could not be applied."""
        spare = self._maker.desk(strategy_id)
        if spare is None:
            raise Refused("strategy", strategy_id, "no process may run it", "give another id")
        if strategy_id not in self.hosted and len(self.hosted) >= HOSTED_MAX:
            raise Refused("strategy", strategy_id, f"there are {HOSTED_MAX} already", "use one")
        seats = self._maker.seats(terms, spare, self.core.instruments)
        require_hearable(seats, self._seats_but(strategy_id))

    # -- wishes ------------------------------------------------------------------------------------

    def _wish(self, wish: SetStrategy) -> Events:
        if self.core.desk(wish.strategy_id) is None or self.wishes.get(wish.strategy_id) == wish:
            return ()
        self.wishes[wish.strategy_id] = wish
        told = self.told.get(wish.strategy_id)
        if not self._live or (told is not None and wish.revision <= told.revision):
            return ()  # it is on record: a bucket may tell its values again
        return self._apply(wish, self.core.instruments)

    def _remember(self, change: StrategyChanged) -> Events:
        """A record of our own, from history."""
        desk = self.core.desk(change.strategy_id)
        if desk is None:
            return ()
        told = self.told.setdefault(change.strategy_id, Told(change.strategy_id))
        told.revision = max(told.revision, change.revision)
        if change.outcome is StrategyOutcome.QUIET:
            told.closes, told.leaving = False, []
        if change.outcome is StrategyOutcome.APPLIED:
            told.deleted = change.deleted
            if change.deleted:
                told.applied, told.terms, told.closes, told.leaving = False, None, False, []
                desk.retire()
                return ()
            told.applied, told.terms = True, change.after
            after = change.after or self.files.get(change.strategy_id)
            if _goes_on(change.before, after):
                told.closes = told.closes or change.flatten
                return ()
            told.closes = change.flatten
        if change.outcome in (StrategyOutcome.APPLIED, StrategyOutcome.FAILED):
            told.leaving = [order.client_order_id for order in desk.orders.living()]
        return ()

    def _apply(
        self, wish: SetStrategy, instruments: Mapping[tuple[str, str], Instrument]
    ) -> list[Event]:
        """Do what is wished for, or refuse it; what follows is said behind the record of it."""
        hosted = self._host(wish.strategy_id)
        hosted.desk.see(wish)
        if wish.deletes:
            return self._delete(wish, hosted)
        before = hosted.terms
        after = wish.terms if wish.terms is not None else self.files.get(wish.strategy_id)
        record = StrategyChanged(
            wish.ts_event, wish.ts_recv, wish.strategy_id, wish.revision, StrategyOutcome.APPLIED,
            before, wish.terms, wish.actor, wish.reason, wish.flatten,
        )  # fmt: skip
        # Who is only to close what it holds needs no other instance; one that failed needs none.
        failed = not hosted.seats and hosted.ended is StrategyPhase.FAILED
        stays = before == after and (bool(hosted.seats) or (wish.flatten and failed))
        try:
            seats = [] if stays else self._seats(hosted, after, instruments)
        except Refused as refusal:
            record = msgspec.structs.replace(
                record, outcome=StrategyOutcome.REFUSED, after=before, problem=str(refusal)
            )
            self._give_up_if_vacant(hosted)
            return self._record(record)
        hosted.terms = after
        out = self._record(record)
        if not stays:
            out += self._change(wish, hosted, before, seats)
        closes = wish.flatten or self.told[wish.strategy_id].closes
        if closes and (hosted.quiet is None or not hosted.quiet.closes):
            self._calm(hosted, closes=True)
        return [*out, *self._step(wish, hosted), *self._listen(wish)]

    def _delete(self, wish: SetStrategy, hosted: Hosted) -> list[Event]:
        """Give the id up where nothing hangs on it: its place is another's, its record stays."""
        record = StrategyChanged(
            wish.ts_event, wish.ts_recv, wish.strategy_id, wish.revision, StrategyOutcome.APPLIED,
            hosted.terms, None, wish.actor, wish.reason, deleted=True,
        )  # fmt: skip
        try:
            configured = wish.strategy_id in self.files
            require_deletable(hosted, configured, self.core.instruments)
        except Refused as refusal:
            record = msgspec.structs.replace(
                record, outcome=StrategyOutcome.REFUSED, after=hosted.terms, problem=str(refusal)
            )
            return self._record(record)
        self.core.failed.pop(wish.strategy_id, None)
        del self.hosted[wish.strategy_id]
        return self._record(record)

    def _give_up_if_vacant(self, hosted: Hosted) -> None:
        """An id for which nothing but refused wishes is known takes no place."""
        strategy_id = hosted.desk.strategy_id
        told = self.told.get(strategy_id)
        ran = strategy_id in self.files or (told is not None and told.applied)
        if hosted.is_vacant and not ran:
            del self.hosted[strategy_id]

    def _record(self, change: StrategyChanged) -> list[Event]:
        self._remember(change)
        return [change, ChangeNoted(change.ts_event, change.ts_recv, change)]

    def _seats(
        self, hosted: Hosted, terms: StrategyTerms | None,
        instruments: Mapping[tuple[str, str], Instrument],
    ) -> list[Seat]:  # fmt: skip
        """Those for `terms`, none where it is not to run. Raises Refused."""
        if terms is None or not terms.is_running:
            return []
        if len(self.hosted) > HOSTED_MAX:
            name = hosted.desk.strategy_id
            raise Refused("strategy", name, f"there are {HOSTED_MAX} already", "use one of them")
        seats = self._maker.seats(terms, hosted.desk, instruments)
        require_hearable(seats, self._seats_but(hosted.desk.strategy_id))
        return seats

    def _seats_but(self, strategy_id: str) -> list[Seat]:
        others = (h for name, h in self.hosted.items() if name != strategy_id)
        return [seat for hosted in others for seat in hosted.seats]

    def _change(
        self, wish: SetStrategy, hosted: Hosted, before: StrategyTerms | None, seats: list[Seat]
    ) -> Events:
        """From who sits there to `seats`."""
        after = hosted.terms
        if not seats:
            out = self._leave(wish, hosted)
            self._calm(hosted, closes=wish.flatten)
            hosted.ended, hosted.error = StrategyPhase.STOPPED, ""
            return out
        if hosted.seats and _goes_on(before, after):
            return self._reparametrize(wish, hosted, seats)
        gone = hosted.seats
        out = self._leave(wish, hosted)
        self._calm_if_needed(hosted, closes=wish.flatten)
        return [*out, *self._take_seats(wish, hosted, seats, gone)]

    def _reparametrize(self, wish: SetStrategy, hosted: Hosted, seats: list[Seat]) -> Events:
        """Other parameters: the same instances where they can take them, else others instead.

        Orders that work go on, as at a restart.
        """
        able = all(
            callable(getattr(old.strategy, "on_params", None))
            and type(old.strategy) is type(new.strategy)
            for old, new in zip(hosted.seats, seats, strict=True)
        )
        if not able:
            gone = hosted.seats
            self._rise(hosted)
            return self._take_seats(wish, hosted, seats, gone)
        out: list[Event] = []
        for old, new in zip(hosted.seats, seats, strict=True):
            strategy: Any = old.strategy
            given, strategy.params = strategy.params, new.strategy.params
            out += self.core.tell(old, strategy.on_params, given)
        return self._absorb(wish, out)

    # -- coming and going --------------------------------------------------------------------------

    def _host(self, strategy_id: str) -> Hosted:
        hosted = self.hosted.get(strategy_id)
        if hosted is None:
            desk = self.core.desk(strategy_id)
            assert desk is not None  # whose it is was asked before
            hosted = self.hosted[strategy_id] = Hosted(desk)
        return hosted

    def _take_seats(
        self, event: Event, hosted: Hosted, seats: list[Seat], gone: Sequence[Seat] = ()
    ) -> Events:
        strategy_id = hosted.desk.strategy_id
        self.core.failed.pop(strategy_id, None)
        hosted.seats, hosted.error = seats, ""
        for seat in seats:
            self._give_state(seat)
        # While what was before comes to its end, whoever is new hears the market but cannot order.
        hosted.desk.may_order = hosted.quiet is None
        self.core.seat(seats, gone)
        # Risk must not take a strategy that begins to order for one that fell silent meanwhile.
        alive = Heartbeat(event.ts_event, event.ts_recv, strategy_id)
        return [alive, *self._absorb(event, self.core.begin(strategy_id))]

    def _leave(self, event: Event, hosted: Hosted) -> Events:
        """Tell those who sit there that it is over."""
        hosted.desk.may_order = False
        out: list[Event] = []
        for seat in hosted.seats:
            out += self.core.tell(seat, seat.strategy.on_stop)
        out = [*self._absorb(event, out)]
        self._rise(hosted)
        return out

    def _rise(self, hosted: Hosted) -> None:
        for seat in self.core.unseat(hosted.desk.strategy_id):
            self._keep_state(seat)
        hosted.seats = []
        hosted.desk.change_hands()

    def _absorb(self, event: Event, out: Events) -> Events:
        """See to whoever failed in what led to `out`."""
        failures = [each for each in out if type(each) is StrategyFailed]
        if not failures:
            return out
        more: list[Event] = list(out)
        for failure in failures:
            hosted = self._host(failure.strategy_id)
            told = self.told.get(failure.strategy_id)
            record = StrategyChanged(
                failure.ts_event, failure.ts_recv, failure.strategy_id,
                told.revision if told else 0, StrategyOutcome.FAILED, hosted.terms, hosted.terms,
                ACTOR, "it raised", problem=failure.error,
            )  # fmt: skip
            more += self._record(record)
            self._rise(hosted)
            hosted.error, hosted.ended = failure.error, StrategyPhase.FAILED
            quiet = self._calm(hosted, closes=told is not None and told.closes)
            quiet.asked_for_all()
            more += self._step(event, hosted)
        return [*more, *self._listen(event)]

    # -- coming to rest ----------------------------------------------------------------------------

    def _calm(self, hosted: Hosted, *, closes: bool) -> Quiet:
        quiet = hosted.quiet = Quiet(hosted.desk, self.core.instruments, closes)
        self._quieting[hosted.desk.strategy_id] = hosted
        hosted.desk.may_order = False
        return quiet

    def _calm_if_needed(self, hosted: Hosted, *, closes: bool) -> None:
        if closes or any(hosted.desk.orders.living()):
            self._calm(hosted, closes=closes)
        else:
            hosted.quiet = None
            self._quieting.pop(hosted.desk.strategy_id, None)

    def _step(self, event: Event, hosted: Hosted) -> list[Event]:
        """Go on with bringing it to rest; say where it is."""
        quiet, out = hosted.quiet, list[Event]()
        if quiet is not None:
            over = quiet.step()
            out += hosted.desk.take()
            if over:
                out += self._rests(event, hosted, quiet)
            else:
                out.append(self._look_again(event))
        return [*out, *self._say(event, hosted)]

    def _rests(self, event: Event, hosted: Hosted, quiet: Quiet) -> Events:
        strategy_id = hosted.desk.strategy_id
        hosted.quiet = None
        del self._quieting[strategy_id]
        hosted.desk.may_order = True
        told, left = self.told.get(strategy_id), quiet.left
        if left:
            hosted.error = f"{hosted.error}; {left}" if hosted.error else left
        out: list[Event] = []
        if told is not None:
            record = StrategyChanged(
                event.ts_event, event.ts_recv, strategy_id, told.revision, StrategyOutcome.QUIET,
                hosted.terms, hosted.terms, ACTOR, "nothing of before works", quiet.closes, left,
            )  # fmt: skip
            out = self._record(record)
        return [*out, *self._absorb(event, self.core.make_ready(strategy_id))]

    def _look_again(self, event: Event) -> SetTimer:
        return SetTimer(event.ts_event, event.ts_recv, TIMER, event.ts_recv + STEP_NS)

    def _timer(self, event: TimerFired) -> Events:
        if event.key != TIMER:
            return self._absorb(event, self.core.handle(event))
        out: list[Event] = []
        for hosted in list(self._quieting.values()):
            hosted.desk.see(event)
            out += self._step(event, hosted)
        return out

    # -- being told --------------------------------------------------------------------------------

    def _instrument(self, event: Instrument) -> Events:
        out = list(self.core.handle(event))
        if not self._live:
            return out
        now_ns = max((hosted.desk.now_ns for hosted in self.hosted.values()), default=0)
        now = Recovered(now_ns, now_ns)
        out = list(self._absorb(now, out))
        for hosted in self.hosted.values():
            if hosted.phase is StrategyPhase.STARTING:
                out += self._say(now, hosted)
        return out

    def _say(self, event: Event, hosted: Hosted) -> Events:
        """Where a strategy is, if that is news."""
        told = self.told.get(hosted.desk.strategy_id)
        state = hosted.news(told.revision if told else 0)
        if state is None:
            return ()
        return (msgspec.structs.replace(state, ts_event=event.ts_event, ts_recv=event.ts_recv),)

    def _listen(self, event: Event) -> Events:
        """The subjects that are of use now, if they are others than before."""
        seats = (seat for hosted in self.hosted.values() for seat in hosted.seats)
        wanted = heard_in(places(list(seats)))
        if wanted == self._heard:
            return ()
        self._heard = wanted
        return (Hearing(event.ts_event, event.ts_recv, wanted),)

    # -- the start ---------------------------------------------------------------------------------

    def _recovered(self, event: Recovered) -> Events:
        """History is over: seat everybody as the record, the wishes and the files have it."""
        self._live = True
        out: list[Event] = list(self.core.handle(event))
        for strategy_id in dict.fromkeys([*self.files, *self.wishes]):
            wish, told = self.wishes.get(strategy_id), self.told.get(strategy_id)
            is_new = wish is not None and wish.revision > (told.revision if told else 0)
            if told is not None and told.deleted and not is_new and strategy_id not in self.files:
                continue
            hosted = self._host(strategy_id)
            hosted.desk.see(event)
            hosted.terms = self._holding(strategy_id, wish, told)
            # Which instruments there are is not known yet: the feed may be starting.
            if wish is not None and is_new:
                changed = self._apply(wish, {})
                out += changed
                applied = changed[0].outcome is StrategyOutcome.APPLIED  # type: ignore[attr-defined]
                if applied or strategy_id not in self.hosted:
                    continue
            out += self._resume(event, hosted, told or Told(strategy_id))
            self._give_up_if_vacant(hosted)
        return [*out, *self._listen(event)]

    def _holding(
        self, strategy_id: str, wish: SetStrategy | None, told: Told | None
    ) -> StrategyTerms | None:
        """The terms that held when the last process ended."""
        if wish is None or told is None or not told.applied or told.terms is None:
            return self.files.get(strategy_id)
        return told.terms

    def _resume(self, event: Event, hosted: Hosted, told: Told) -> Events:
        try:
            seats = self._seats(hosted, hosted.terms, {})
        except Refused as refusal:
            seats = []
            hosted.error, hosted.ended = str(refusal), StrategyPhase.FAILED
        out: list[Event] = []
        living = {order.client_order_id for order in hosted.desk.orders.living()}
        if told.closes or not seats or not living.isdisjoint(told.leaving):
            self._calm_if_needed(hosted, closes=told.closes)
        if seats:
            out += self._take_seats(event, hosted, seats)
        return [*out, *self._step(event, hosted)]


def _goes_on(before: StrategyTerms | None, after: StrategyTerms | None) -> bool:
    """Whether who runs goes on, at most with other parameters, and its orders with it."""
    if before is None or after is None or not (before.is_running and after.is_running):
        return False
    return msgspec.structs.replace(before, params=after.params) == after
