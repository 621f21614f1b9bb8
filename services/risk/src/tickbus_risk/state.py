"""What risk knows: instruments, markets, positions, working orders, ids and rates."""

from collections import deque
from collections.abc import Iterator, Mapping
from decimal import Decimal

from tickbus import subjects
from tickbus.events import (
    GLOBAL,
    SMART_VENUE,
    BookTop,
    Event,
    FeedState,
    FeedStatus,
    Instrument,
    OrderApproved,
    OrderFilled,
    Side,
    TradingState,
)
from tickbus.order import Order, Orders
from tickbus.portfolio import assets, is_derivative
from tickbus_risk.balances import Balances
from tickbus_risk.exposure import Exposures
from tickbus_risk.heartbeats import Heartbeats
from tickbus_risk.losses import Losses
from tickbus_risk.resting import Resting
from tickbus_risk.snapshot import BookMemory, IdsMemory
from tickbus_risk.traffic import Traffic

ZERO = Decimal(0)
ORDER_IDS_MAX = 200_000
FLOORS_MAX = 10_000
"""Prefixes of forgotten ids: one for each run of each strategy."""
FILL_IDS_MAX = 50_000
SECOND_NS = 1_000_000_000
STATUS_LOST_NS = 2 * SECOND_NS

Key = tuple[str, str]


class SeenIds:
    """Every client order id ever seen, in bounded memory.

    The last `ids_max` are remembered one by one. Of older ones, which rise (`<prefix>-<n>`), only
    the highest number per prefix stays, so those are still recognised; an older id of another form
    is forgotten. At most `floors_max` prefixes are kept: the one whose ids were forgotten longest
    ago goes first, and an id of that run would count as new.
    """

    def __init__(self, ids_max: int = ORDER_IDS_MAX, floors_max: int = FLOORS_MAX) -> None:
        self._ids_max = ids_max
        self._floors_max = floors_max
        self._recent: dict[str, None] = {}
        self._floors: dict[str, int] = {}

    def __contains__(self, order_id: str) -> bool:
        if order_id in self._recent:
            return True
        prefix, _, number = order_id.rpartition("-")
        floor = self._floors.get(prefix)
        return floor is not None and number.isdecimal() and int(number) <= floor

    def add(self, order_id: str) -> None:
        """Remember `order_id`."""
        self._recent[order_id] = None
        if len(self._recent) > self._ids_max:
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            prefix, _, number = oldest.rpartition("-")
            if prefix and number.isdecimal():
                # Put last again: dicts are in the order of putting.
                self._floors[prefix] = max(self._floors.pop(prefix, 0), int(number))
                if len(self._floors) > self._floors_max:
                    del self._floors[next(iter(self._floors))]

    def snapshot(self) -> IdsMemory:
        """All of it."""
        return IdsMemory(self._recent, self._floors)

    def restore(self, memory: IdsMemory) -> None:
        """Know what `memory` says."""
        self._recent, self._floors = memory.recent, memory.floors


class Rate:
    """Orders of `scope` let through within the last second of event time, at most `limit` kept."""

    def __init__(self, limit: int, scope: str = GLOBAL) -> None:
        self.limit = limit
        self.scope = scope
        self._times: deque[int] = deque(maxlen=limit)

    def is_exhausted(self, now_ns: int) -> bool:
        """Whether one more order within this second would be too many."""
        times = self._times
        return len(times) >= self.limit and (not times or now_ns - times[0] < SECOND_NS)

    def note(self, now_ns: int) -> None:
        """One order was let through."""
        self._times.append(now_ns)

    def count(self, now_ns: int) -> int:
        """How many were let through within the last second."""
        return sum(now_ns - time < SECOND_NS for time in self._times)

    def times(self) -> list[int]:
        """When the last ones were let through, ns UTC."""
        return list(self._times)

    def restore(self, times: list[int]) -> None:
        """Take over what `times` gave."""
        self._times = deque(times, self.limit)

    def with_limit(self, limit: int) -> "Rate":
        """The same with another limit; what was let through lately still counts."""
        rate = Rate(limit, self.scope)
        rate._times.extend(self._times)
        return rate


class RiskBook:
    """The facts that checks look at, kept by folding events; "now" is the newest event's time."""

    def __init__(self, currency: str, taker_fees: Mapping[str, Decimal]) -> None:
        self.now_ns = 0
        self.trading_state = TradingState.ACTIVE
        self.strategy_states: dict[str, TradingState] = {}
        self.instruments: dict[Key, Instrument] = {}
        self.tops: dict[Key, BookTop] = {}
        self.feeds: dict[Key, FeedStatus] = {}
        self.positions: dict[Key, Decimal] = {}
        self.ids = SeenIds()
        self.open_orders: dict[str, int] = {}
        self._orders = Orders()
        self._counted: dict[str, Decimal] = {}
        self._leaves: dict[tuple[str, str, Side], Decimal] = {}
        self._fills: dict[tuple[str, str, str], None] = {}
        self.exposures = Exposures(self.tops, self.instruments, currency)
        self.losses = Losses(self.exposures)
        self.balances = Balances(taker_fees)
        self.resting = Resting()
        self.heartbeats = Heartbeats()
        self.traffic = Traffic()

    def snapshot(self) -> BookMemory:
        """All that folding the order path gave."""
        return BookMemory(
            self.now_ns,
            self.trading_state,
            list(self.strategy_states.items()),
            [(*key, quantity) for key, quantity in self.positions.items()],
            list(self.open_orders.items()),
            self._orders.snapshot(),
            list(self._counted.items()),
            list(self._leaves.items()),
            list(self._fills),
            self.ids.snapshot(),
            self.resting.snapshot(),
            self.exposures.snapshot(),
            self.losses.snapshot(),
            self.balances.snapshot(),
            self.traffic.snapshot(),
        )

    def restore(self, memory: BookMemory) -> None:
        """Know what `memory` says."""
        self.now_ns = max(self.now_ns, memory.now_ns)
        self.trading_state = memory.trading_state
        self.strategy_states = dict(memory.strategy_states)
        self.positions = {(venue, name): held for venue, name, held in memory.positions}
        self.open_orders = dict(memory.open_orders)
        self._orders.restore(memory.orders)
        self._counted = dict(memory.counted)
        self._leaves = dict(memory.leaves)
        self._fills = dict.fromkeys(memory.fills)
        self.ids.restore(memory.ids)
        self.resting.restore(memory.resting)
        self.exposures.restore(memory.exposures)
        self.losses.restore(memory.tracks)
        self.balances.restore(memory.balances)
        self.traffic.restore(memory.traffic)

    def see(self, event: Event) -> None:
        """Move "now" on; time never runs backwards."""
        self.now_ns = max(self.now_ns, event.ts_recv)

    def instrument(self, instrument: Instrument) -> None:
        """Take in an instrument; what is held of it may be worth something else now."""
        key = (instrument.venue, instrument.instrument_id)
        self.instruments[key] = instrument
        self.exposures.revalue(key)

    def market(self, event: BookTop | FeedStatus) -> None:
        """Take in what is known of a market; `feeds` holds only those that are not LIVE."""
        key = (event.venue, event.instrument_id)
        if isinstance(event, BookTop):
            self.tops[key] = event
            trouble = self.feeds.get(key)
            if trouble is None or event.stale:
                return
            # A status may get lost; a sound book fed long after the trouble says that it is over.
            if event.ts_recv - trouble.ts_recv > STATUS_LOST_NS:
                del self.feeds[key]
        elif event.state is FeedState.LIVE:
            self.feeds.pop(key, None)
        else:
            self.feeds[key] = event

    def knows(self, client_order_id: str) -> bool:
        """Whether the order was approved before and is still remembered."""
        return client_order_id in self._orders

    def approve(self, event: OrderApproved) -> None:
        """Count an order as working from now on."""
        self.ids.add(event.order.client_order_id)
        self.fold(event)

    def fold(self, event: Event) -> None:
        """Take in what happened to an order; a fill counts once, whoever's order it was."""
        if isinstance(event, OrderFilled):
            self._fill(event)
        self.balances.order_event(event)
        changed = self._orders.fold(event)
        if changed is not None:
            self._recount(changed)

    def forget(self, client_order_id: str) -> None:
        """An approval that the stream contradicts: it never happened."""
        self.balances.release(client_order_id)
        order = self._orders.pop(client_order_id)
        if order is not None:
            self._recount(order, gone=True)

    def working(self) -> Iterator[Order]:
        """Orders that may trade."""
        return self._orders.working()

    @property
    def working_count(self) -> int:
        """How many orders may trade."""
        return len(self._counted)

    def order(self, client_order_id: str) -> Order | None:
        """The order, if it is known."""
        return self._orders.get(client_order_id)

    def working_quantity(self, venue: str, instrument_id: str, side: Side) -> Decimal:
        """What the working orders of one side may still fill, in base."""
        return self._leaves.get((venue, instrument_id, side), ZERO)

    def _fill(self, event: OrderFilled) -> None:
        fill, key = event.fill, (event.venue, event.instrument_id)
        fill_key = (*key, fill.fill_id)
        # What a routed order fills is told again by its parts, at the venues where it is held.
        if fill_key in self._fills or event.venue == SMART_VENUE:
            return
        self._fills[fill_key] = None
        if len(self._fills) > FILL_IDS_MAX:
            del self._fills[next(iter(self._fills))]
        change = fill.side.sign * fill.quantity
        in_base = fill.fee_asset == assets(event.instrument_id)[0]
        if in_base and not is_derivative(event.instrument_id):
            change -= fill.fee
        self.positions[key] = self.positions.get(key, ZERO) + change
        owner = owner_of(event.client_order_id, event.strategy_id)
        self.exposures.fill(owner, *key, fill)
        self.traffic.fill(event.strategy_id, event.venue, self.now_ns)

    def position(self, venue: str, instrument_id: str) -> Decimal:
        """What the account holds there, in base; for orders that are split, at all venues."""
        if venue != SMART_VENUE:
            return self.positions.get((venue, instrument_id), ZERO)
        held = (q for (_, name), q in self.positions.items() if name == instrument_id)
        return sum(held, ZERO)

    def _recount(self, order: Order, gone: bool = False) -> None:
        order_id, key = order.client_order_id, (order.venue, order.instrument_id, order.side)
        counted = self._counted.get(order_id)
        leaves = order.leaves_quantity if order.is_working and not gone else None
        if counted is None and leaves is None:
            return
        self.resting.follow(order, leaves is not None)
        change = (leaves or ZERO) - (counted or ZERO)
        if change and order.venue != SMART_VENUE:
            owner = owner_of(order_id, order.strategy_id)
            self.exposures.work(owner, key[:2], order.side, change, order.price)
        self._leaves[key] = self._leaves.get(key, ZERO) + change
        opened = (leaves is not None) - (counted is not None)
        self.open_orders[order.strategy_id] = self.open_orders.get(order.strategy_id, 0) + opened
        if leaves is None:
            del self._counted[order_id]
        else:
            self._counted[order_id] = leaves


def owner_of(client_order_id: str, strategy_id: str) -> str:
    """Whose position an order changes: that of the strategy for which risk closes it, if it does.

    Risk's own orders are named `risk-<strategy>-<n>`, with no strategy where it closes everything.
    """
    if strategy_id != subjects.RISK:
        return strategy_id
    owner = client_order_id.partition("-")[2].rpartition("-")[0]
    return owner or subjects.RISK
