"""What a snapshot of risk holds: all that folding the order path gave, part by part.

Each part is written and read by the class that keeps it. What follows from the rest (what a slot is
worth, the sums of the scopes) is worked out again, at the instruments that are known then.
"""

from decimal import Decimal

import msgspec

from tickbus.events import Side, TradingState, TradingStateChanged
from tickbus.order import Order
from tickbus.portfolio import Position

Place = tuple[str, str, Side]
"""(venue, instrument_id, side)."""


class RatesMemory(msgspec.Struct, frozen=True):
    """When orders passed of late (ns UTC): all of them, by strategy, and by venue with a limit.

    With the limit of a strategy, which is that of the instrument of its last order.
    """

    total: list[int]
    strategies: list[tuple[str, int, list[int]]]
    venues: list[tuple[str, list[int]]]


class IdsMemory(msgspec.Struct, frozen=True):
    """Ids of orders: the last ones, and the highest number of older ones by prefix."""

    recent: dict[str, None]
    floors: dict[str, int]


class RestingMemory(msgspec.Struct, frozen=True):
    """Where our orders rest: by order, and the prices of every place, sorted."""

    orders: list[tuple[str, Place, Decimal]]
    prices: list[tuple[Place, list[Decimal]]]


class ExposuresMemory(msgspec.Struct, frozen=True):
    """Scopes in the order they came up, marks from trades, and what each owner holds and works.

    A slot is (venue, instrument_id, owner, position, buying, selling); "" owns for the account.
    """

    scopes: list[str]
    marks: list[tuple[str, str, Decimal]]
    slots: list[tuple[str, str, str, Position, Decimal, Decimal]]


class TrackMemory(msgspec.Struct, frozen=True):
    """From where the losses of a scope are measured; see `losses.Track`."""

    scope: str
    day: int
    day_start: Decimal
    peak: Decimal
    recorded: Decimal | None


class HoldMemory(msgspec.Struct, frozen=True):
    """What an order holds of an asset; see `balances.Hold`."""

    order_id: str
    venue: str
    asset: str
    amount: Decimal
    ts_venue: int
    traded: bool


class BalancesMemory(msgspec.Struct, frozen=True):
    """Free balances with the time of the venue's word, complete lists by venue, and the holds.

    `held` sums the holds of an asset; `noted` names the orders that the venue has taken note of.
    """

    free: list[tuple[str, str, Decimal, int]]
    complete: list[tuple[str, int]]
    holds: list[HoldMemory]
    held: list[tuple[str, str, Decimal]]
    noted: list[tuple[str, str, list[str]]]


class MinuteMemory(msgspec.Struct, frozen=True, array_like=True):
    """Orders that passed and fills that came in one minute (since 1970) in one scope."""

    scope: str
    minute: int
    orders: int
    fills: int


class BookMemory(msgspec.Struct, frozen=True):
    """The fields of `state.RiskBook` that no bucket and no market gives."""

    now_ns: int
    trading_state: TradingState
    strategy_states: list[tuple[str, TradingState]]
    positions: list[tuple[str, str, Decimal]]
    open_orders: list[tuple[str, int]]
    orders: list[Order]
    counted: list[tuple[str, Decimal]]
    leaves: list[tuple[Place, Decimal]]
    fills: list[tuple[str, str, str]]
    ids: IdsMemory
    resting: RestingMemory
    exposures: ExposuresMemory
    tracks: list[TrackMemory]
    balances: BalancesMemory
    traffic: list[MinuteMemory]


class WatchMemory(msgspec.Struct, frozen=True):
    """The last change of state per scope, what of the wishes is on record, what is being closed.

    `tripped` are the scopes that risk itself stopped; `overfilled` orders that filled for more than
    they were for, and whether that is on record.
    """

    stops: list[TradingStateChanged]
    limits_told: list[tuple[str, str, int]]
    states_told: list[tuple[str, int]]
    tripped: list[str]
    overfilled: dict[str, bool]
    closing: list[str]


class RiskMemory(msgspec.Struct, frozen=True):
    """What risk knows of the order path, as folded under the limits and fees that `basis` names."""

    basis: str
    rates: RatesMemory
    book: BookMemory
    watch: WatchMemory
