"""Exposure and profit of every scope as running sums, so that no order has to look at all of them.

What is held of one instrument by one owner (the account, or one strategy) is a `Slot`; a slot knows
what it adds to the sums of its scopes and, when its position, its working orders or its mark
change, adds the difference. Sums are exact: they equal those over all slots to the last digit.
"""

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal

from tickbus.events import GLOBAL, BookTop, Fill, Instrument, Side
from tickbus.portfolio import Position, assets
from tickbus_risk.snapshot import ExposuresMemory

ZERO = Decimal(0)
ONE = Decimal(1)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
add, sub, mul = _EXACT.add, _EXACT.subtract, _EXACT.multiply
"""Of Decimals, to 60 digits."""

MOVED = 0.001
"""As a part of the price."""

Key = tuple[str, str]


class Sums:
    """What one scope adds up to, in the currency of risk, at the newest marks.

    `gross`: the values of all positions, each with those of its working orders filled that make it
    largest. `long` and `short`: the signed values with all buys, or all sells, filled. `pnl`: net
    P&L of all fills.
    """

    __slots__ = ("gross", "long", "pnl", "short")

    def __init__(self) -> None:
        self.gross = self.long = self.short = self.pnl = ZERO

    @property
    def net(self) -> Decimal:
        """The larger of what is long and what is short once the orders on that side fill."""
        return max(self.long, -self.short, ZERO)


class Slot:
    """One instrument of one owner; `buying` and `selling` are what works, `unit` values one."""

    __slots__ = (
        "buying",
        "fee_pnl",
        "gross",
        "long",
        "mark",
        "pnl",
        "position",
        "rate",
        "selling",
        "short",
        "size",
        "sums",
        "unit",
    )  # fmt: skip

    def __init__(self, venue: str, instrument_id: str, sums: tuple[Sums, ...]) -> None:
        self.position = Position(venue=venue, instrument_id=instrument_id)
        self.sums = sums
        self.buying = self.selling = ZERO
        self.mark = self.unit = ZERO
        self.size = self.rate = ONE
        self.gross = self.long = self.short = self.pnl = self.fee_pnl = ZERO

    def worst(self, buying: Decimal, selling: Decimal) -> tuple[Decimal, Decimal, Decimal]:
        """(gross, long, short) if that much more worked on either side."""
        held, unit = self.position.quantity, self.unit
        top = mul(add(held, add(self.buying, buying)), unit)
        low = mul(sub(held, add(self.selling, selling)), unit)
        return max(abs(top), abs(low)), top, low

    def settle(self) -> None:
        """Bring the sums up to date."""
        pnl = add(self._pnl(), self.fee_pnl)
        if pnl != self.pnl:
            change = sub(pnl, self.pnl)
            for sums in self.sums:
                sums.pnl = add(sums.pnl, change)
            self.pnl = pnl
        self.settle_exposure()

    def settle_exposure(self) -> None:
        """The same where only working orders have changed."""
        gross, top, low = self.worst(ZERO, ZERO)
        if gross != self.gross:
            change = sub(gross, self.gross)
            for sums in self.sums:
                sums.gross = add(sums.gross, change)
            self.gross = gross
        if top != self.long:
            change = sub(top, self.long)
            for sums in self.sums:
                sums.long = add(sums.long, change)
            self.long = top
        if low != self.short:
            change = sub(low, self.short)
            for sums in self.sums:
                sums.short = add(sums.short, change)
            self.short = low

    def _pnl(self) -> Decimal:
        # cash + quantity * mark is realised + unrealised - fees; contracts count `size` each, and
        # their fees do not.
        position = self.position
        if not position.fills:
            return ZERO
        value = add(position.cash, mul(position.quantity, self.mark))
        if self.size != ONE:
            value = sub(mul(add(value, position.fees), self.size), position.fees)
        return mul(value, self.rate)


class Exposures:
    """All slots and the sums of all scopes; marks come from `tops` when they are asked for."""

    def __init__(
        self, tops: Mapping[Key, BookTop], instruments: Mapping[Key, Instrument], currency: str
    ) -> None:
        self.currency = currency
        self._tops = tops
        self._instruments = instruments
        self._slots: dict[Key, dict[str, Slot]] = {}
        self._sums: dict[str, Sums] = {GLOBAL: Sums()}
        self._seen: dict[Key, BookTop] = {}
        self._from_book: dict[Key, None] = {}
        self._marks: dict[Key, Decimal] = {}

    def snapshot(self) -> ExposuresMemory:
        """What is held and works, with the marks of trades; what it is worth follows from that."""
        return ExposuresMemory(
            list(self._sums),
            [(*key, mark) for key, mark in self._marks.items()],
            [
                (*key, owner, slot.position, slot.buying, slot.selling)
                for key, slots in self._slots.items()
                for owner, slot in slots.items()
            ],
        )

    def restore(self, memory: ExposuresMemory) -> None:
        """Know what `memory` says, and value it at the instruments that are known."""
        self._sums = {scope: Sums() for scope in memory.scopes}
        self._marks = {(venue, name): mark for venue, name, mark in memory.marks}
        self._slots = {}
        for venue, name, owner, position, buying, selling in memory.slots:
            key = (venue, name)
            slot = self._slots.setdefault(key, {})[owner] = Slot(*key, self._sums_of(key, owner))
            slot.position, slot.buying, slot.selling = position, buying, selling
            self._value(key, slot)

    def sums(self, scope: str) -> Sums:
        """The sums of `global`, `venue:<name>` or `strategy:<id>`; of a stranger, zeros."""
        return self._sums.get(scope) or Sums()

    def scopes(self) -> list[str]:
        """Every scope that ever held or worked anything."""
        return list(self._sums)

    def slot(self, key: Key, owner: str = "") -> Slot | None:
        """What `owner` (a strategy, or the account) has in the instrument; None: never anything."""
        slots = self._slots.get(key)
        return None if slots is None else slots.get(owner)

    def peek(self, key: Key, owner: str = "") -> Slot:
        """The same; where there never was anything, an empty one that nobody keeps."""
        slot = self.slot(key, owner)
        if slot is None:
            slot = Slot(*key, ())
            self._value(key, slot)
        return slot

    def is_marked(self) -> bool:
        """Whether a book has priced everything that is held; until then marks are old prices."""
        return all(
            key in self._from_book or not slots[""].position.quantity
            for key, slots in self._slots.items()
        )

    def slots(self, owner: str = "") -> Iterator[tuple[Key, Slot]]:
        """All that `owner` has."""
        return ((key, slots[owner]) for key, slots in self._slots.items() if owner in slots)

    def fill(self, owner: str, venue: str, instrument_id: str, fill: Fill) -> None:
        """Take in one of our fills; the caller sees to it that each comes once."""
        key = (venue, instrument_id)
        if key not in self._marks:
            self._mark(key, fill.price)
        for slot in self._both(owner, key):
            slot.position.apply(fill)
            self._value(key, slot)

    def work(
        self, owner: str, key: Key, side: Side, change: Decimal, price: Decimal | None
    ) -> None:
        """What works on one side has changed by `change`."""
        if key not in self._marks and price is not None:
            self._mark(key, price)
        for slot in self._both(owner, key):
            if side is Side.BUY:
                slot.buying = add(slot.buying, change)
            else:
                slot.selling = add(slot.selling, change)
            if slot.unit:
                slot.settle_exposure()
            else:
                self._value(key, slot)

    def notice(self, key: Key) -> None:
        """Value one instrument anew if its market has moved by more than `MOVED` since it was.

        On the way of every order: a smaller move can wait for `refresh_all`.
        """
        top, seen = self._tops.get(key), self._seen.get(key)
        if top is seen or top is None:
            return
        if seen is not None and key in self._from_book:
            before = seen.bid + seen.ask
            if abs(top.bid + top.ask - before) <= MOVED * before:
                return
        self.refresh(key)

    def refresh(self, key: Key) -> None:
        """Value one instrument at its book as it is now."""
        top = self._tops.get(key)
        if top is None or top is self._seen.get(key):
            return
        self._seen[key] = top
        if top.stale or top.bid <= 0 or top.ask <= 0:
            return  # its last sound price stays
        mark = middle(top)
        self._from_book[key] = None
        if mark != self._marks.get(key):
            self._mark(key, mark)

    def revalue(self, key: Key) -> None:
        """Value one instrument anew: what one of it is has become known or has changed."""
        for slot in self._slots.get(key, {}).values():
            self._value(key, slot)

    def refresh_all(self) -> None:
        """Value everything at the books as they are now: once per interval, not per order."""
        for key, slots in self._slots.items():
            self.refresh(key)
            rate = self.rate(key)
            for slot in slots.values():
                if slot.position.other_fees or slot.rate != rate:
                    self._value(key, slot)

    def rate(self, key: Key) -> Decimal | None:
        """What one unit of the quote currency is worth in ours; None while nobody can say."""
        return self._price_of(key[0], assets(key[1])[1])

    def _price_of(self, venue: str, asset: str) -> Decimal | None:
        if asset == self.currency:
            return ONE
        top = self._tops.get((venue, f"{asset}-{self.currency}"))
        return middle(top) if top is not None and top.bid > 0 and top.ask > 0 else None

    def _both(self, owner: str, key: Key) -> tuple[Slot, Slot]:
        slots = self._slots.get(key)
        if slots is None:
            slots = self._slots[key] = {"": Slot(*key, self._sums_of(key, ""))}
        slot = slots.get(owner)
        if slot is None:
            slot = slots[owner] = Slot(*key, self._sums_of(key, owner))
        return slots[""], slot

    def _sums_of(self, key: Key, owner: str) -> tuple[Sums, ...]:
        if owner:
            return (self._sum(f"strategy:{owner}"),)
        return (self._sums[GLOBAL], self._sum(f"venue:{key[0]}"))

    def _mark(self, key: Key, mark: Decimal) -> None:
        self._marks[key] = mark
        self.revalue(key)

    def _sum(self, scope: str) -> Sums:
        return self._sums.setdefault(scope, Sums())

    def _value(self, key: Key, slot: Slot) -> None:
        instrument = self._instruments.get(key)
        # Where nobody knows the rate it counts as one: more is then refused by its check.
        slot.rate = self.rate(key) or ONE
        slot.mark = self._marks.get(key, ZERO)
        slot.size = ONE if instrument is None else instrument.contract_size
        inverse = instrument is not None and instrument.inverse
        unit = slot.size if inverse else mul(slot.mark, slot.size)
        slot.unit = mul(unit, slot.rate)
        slot.fee_pnl = ZERO
        for asset, paid in slot.position.other_fees.items():
            slot.fee_pnl = sub(slot.fee_pnl, mul(paid, self._price_of(key[0], asset) or ZERO))
        slot.settle()


def middle(top: BookTop) -> Decimal:
    """Halfway between the best prices, exactly."""
    return mul(add(Decimal(repr(top.bid)), Decimal(repr(top.ask))), _HALF)


_HALF = Decimal("0.5")
