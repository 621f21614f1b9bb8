"""Keeps what strategies must remember beside their orders and positions, and gives it back."""

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from tickbus import codec
from tickbus.bus import Bus, BusError
from tickbus.codec import MalformedMessage
from tickbus.events import SetStrategy
from tickbus.runtime import Context
from tickbus_strategy.base import NoState
from tickbus_strategy.core import Seat, StrategyCore
from tickbus_strategy.making import Maker, is_nameable

BUCKET = "snapshots"
WISHES = "strategies"
EVERY_S = 1.0
SIZE_MAX = 256 * 1024

log = logging.getLogger("tickbus.strategy")


class KeptState(msgspec.Struct, frozen=True):
    """The state of one seat, encoded, and the class of the strategy that made it."""

    kind: str
    data: bytes


class StateKeeper:
    """Keeps each changed state of `core`'s strategies, once a second and at the end.

    What changed in the last second before a crash is lost. A state of another strategy, or of
    another shape, is not given back; that is said in the log. `files` are the ids and markets that
    the configuration knows.
    """

    def __init__(
        self, core: StrategyCore, durable: str, maker: Maker,
        files: Iterable[tuple[str, list[tuple[str, str]]]],
    ) -> None:  # fmt: skip
        self._core = core
        self._durable = durable
        self._maker = maker
        self._files = list(files)
        self._known: dict[str, bytes] = {}
        self._kept: dict[str, bytes] = {}
        self._refused: set[str] = set()
        self._context: Context

    async def load(self, bus: Bus) -> None:
        """Read the states of all that may be seated at the start. Raises BusError."""
        wanted = {self._key(name, *place) for name, markets in self._files for place in markets}

        async def see(_: str, payload: bytes) -> None:
            try:
                wish = codec.decode_value(payload, SetStrategy)
            except MalformedMessage:
                return  # the service itself puts it into quarantine
            if (
                wish.terms is not None
                and not wish.deletes
                and self._maker.desk(wish.strategy_id) is not None
            ):
                # Terms that cannot be applied are refused later, and must not stop the start.
                places = filter(is_nameable, self._maker.places(wish.terms))
                wanted.update(self._key(wish.strategy_id, *place) for place in places)

        await (await bus.kv_watch(WISHES, see)).stop()
        for key in sorted(wanted):
            value, _ = await bus.kv_read(BUCKET, key)
            if value:
                self._known[key] = self._kept[key] = value

    def give(self, seat: Seat) -> None:
        """Give a new seat the state that it had before, if there is one."""
        key = self._key_of(seat)
        value = self._known.get(key)
        if not value or type(seat.strategy).State is NoState:
            return
        try:
            kept = codec.decode_value(value, KeptState)
            if kept.kind != _kind(seat):
                raise MalformedMessage(f"it is of {kept.kind}, and this is {_kind(seat)}")
            seat.strategy.state = codec.decode_value(kept.data, type(seat.strategy).State)
        except MalformedMessage as error:
            log.warning("%s: its kept state is not used, it begins afresh: %s", key, error)

    def retire(self, seat: Seat) -> None:
        """Remember the last state of a seat that is told nothing more."""
        value = self._encoded(seat)
        if value is not None:
            self._known[self._key_of(seat)] = value

    def forget(self, strategy_id: str) -> None:
        """Keep nothing any more of a strategy whose id was given up."""
        prefix = f"{self._durable}.state.{strategy_id}."
        for key in [key for key in self._known if key.startswith(prefix)]:
            self._known[key] = b""

    async def start(self, context: Context) -> None:
        """Begin to keep."""
        self._context = context
        context.spawn(self._run(), "state of strategies")

    async def stop(self) -> None:
        """Keep once more; without a bus it is what it was a second ago."""
        await self._keep()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self._keep()

    async def _keep(self) -> None:
        for seat in self._core.seats():
            value = self._encoded(seat)
            if value is not None:
                self._known[self._key_of(seat)] = value
        for key, value in list(self._known.items()):
            if self._kept.get(key) == value:
                continue
            try:
                await self._context.bus.kv_put(BUCKET, key, value)
            except BusError as error:
                self._context.telemetry.error("strategy_state_not_kept")
                self._context.log.warning("%s", error)
                return  # all of it is tried again in a second
            self._kept[key] = value

    def _encoded(self, seat: Seat) -> bytes | None:
        if type(seat.strategy).State is NoState:
            return None
        try:
            data = codec.encode_value(seat.strategy.state)
            if len(data) > SIZE_MAX:
                raise ValueError(f"{len(data)} bytes; {SIZE_MAX} are the most that is kept")
        except (TypeError, ValueError) as error:
            key = self._key_of(seat)
            if key not in self._refused:
                self._refused.add(key)
                self._context.telemetry.error("strategy_state_not_kept")
                self._context.log.error("%s: its state cannot be kept: %s", key, error)
            return None
        return codec.encode_value(KeptState(_kind(seat), data))

    def _key_of(self, seat: Seat) -> str:
        return self._key(seat.desk.strategy_id, seat.market.venue, seat.market.instrument_id)

    def _key(self, strategy_id: str, venue: str, instrument_id: str) -> str:
        return f"{self._durable}.state.{strategy_id}.{venue}.{instrument_id}"


def _kind(seat: Seat) -> str:
    kind = type(seat.strategy)
    return f"{kind.__module__}:{kind.__qualname__}"
