"""What a core knows, kept on the bus, so that a restart need not read the whole history.

A snapshot is the fold of the ORDERS stream up to one sequence, in numbered pieces in the bucket
`snapshots`; its manifest, under the durable's name, is written last and in one step, and names the
newest snapshot and the one before it. Whatever is wrong with a snapshot, the history is still
there: the next older one is taken, and at last the whole history is read.
"""

import asyncio
import hashlib
import logging
import sys
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

import msgspec

from tickbus import __version__
from tickbus.bus import Bus, BusError, Message
from tickbus.events import Event

BUCKET = "snapshots"
FORMAT = 1
SLICE_ITEMS = 250
"""Entries encoded in one go; an order that comes meanwhile waits for no more than these."""
PIECE_BYTES = 128 * 1024
"""One bucket value; well below the 1 MB that NATS takes, and soon written."""
SNAPSHOT_BYTES_MAX = 64 * 1024 * 1024
"""Compressed. A larger one is not kept, and that is said: restarts then read more history."""
KEPT = 2


@runtime_checkable
class Remembering(Protocol):
    """A core whose memory of the order path can be written down and read back.

    `memory` is the struct that `snapshot` makes: its fields are plain data, large ones are lists or
    dicts, or structs of such fields again. What comes from a bucket or from the market is not part
    of it.
    """

    @property
    def memory(self) -> type[msgspec.Struct]:
        """What `snapshot` makes."""
        ...

    def handle(self, event: Any, /) -> Sequence[Event]:
        """See `Core`."""
        ...

    def snapshot(self) -> msgspec.Struct:
        """What folding the history gave; may share what it refers to with the core."""
        ...

    def restore(self, memory: Any, /) -> None:
        """Know what `memory` says, as if the history had been folded; the core owns it then."""
        ...


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """One snapshot: what made it, up to which sequence, and how to tell whether it is whole.

    `anchor` is a digest of the message at `sequence`: a stream made anew has another one there.
    """

    format: int
    code: str
    sequence: int
    anchor: str
    slot: int
    pieces: int
    size: int
    checksum: str
    ts_ns: int


class Found(NamedTuple):
    """A sound snapshot: the sequence it goes up to, and its encoded slices."""

    sequence: int
    slices: list[bytes]


class SnapshotTooLarge(Exception):
    """More than `SNAPSHOT_BYTES_MAX` after compression."""


def slices_of(memory: msgspec.Struct) -> Iterator[bytes]:
    """`memory` encoded a little at a time; it must not change in between."""
    encoder = msgspec.msgpack.Encoder()
    for name in _fields(type(memory)):
        value = attrgetter(name)(memory)
        if not isinstance(value, list | dict):
            yield encoder.encode((name, value))
            continue
        items = iter(value.items() if isinstance(value, dict) else value)
        for _ in range(0, max(1, len(value)), SLICE_ITEMS):
            yield encoder.encode((name, type(value)(islice(items, SLICE_ITEMS))))


def _fields(kind: type[msgspec.Struct], prefix: str = "") -> dict[str, Any]:
    """The types of all fields, those of a part under `<part>.<field>`."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if _is_part(field.type):
            found |= _fields(field.type, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = field.type
    return found


def _is_part(kind: Any) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def memory_of(slices: Sequence[bytes], kind: type[msgspec.Struct]) -> Any:
    """The struct that `slices` are of. Raises msgspec.ValidationError, TypeError, ValueError."""
    decoders = {name: msgspec.msgpack.Decoder(kind) for name, kind in _fields(kind).items()}
    outer = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])
    values: dict[str, Any] = {}
    for piece in slices:
        name, raw = outer.decode(piece)
        if name not in decoders:
            raise ValueError(f"{kind.__name__} has no field {name!r}")
        value = decoders[name].decode(raw)
        if name not in values:
            values[name] = value
        elif isinstance(value, dict):
            values[name].update(value)
        else:
            values[name].extend(value)
    return _made(kind, values, "")


def _made(kind: type[msgspec.Struct], values: dict[str, Any], prefix: str) -> msgspec.Struct:
    given = {}
    for field in msgspec.structs.fields(kind):
        name = prefix + field.name
        if _is_part(field.type):
            given[field.name] = _made(field.type, values, f"{name}.")
        elif name in values:
            given[field.name] = values[name]
    return kind(**given)


def code_of(core: object, *more: object) -> str:
    """A digest of the code that folds and of what it is given: another one folds otherwise.

    Covers the package of the core's class and what all cores share; `more` is told by its `repr`.
    """
    digest = hashlib.sha256(repr((__version__, FORMAT, more)).encode())
    package = type(core).__module__.partition(".")[0]
    shared = Path(__file__).parents[1]
    files = [
        shared / "codec.py",  # says what is believed of whom
        shared / "order.py",
        shared / "portfolio.py",
        shared / "subjects.py",
        *sorted((shared / "events").glob("*.py")),
    ]
    origin = getattr(sys.modules.get(package), "__file__", None)
    if origin and package != "tickbus":
        files += sorted(Path(origin).parent.rglob("*.py"))
    for file in files:
        if file.is_file():
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:32]


class Snapshots:
    """The snapshots of one durable on the bus, made and read by code of one digest."""

    def __init__(self, bus: Bus, durable: str, code: str, log: logging.Logger) -> None:
        self._bus = bus
        self._durable = durable
        self._code = code
        self._log = log

    async def newest(self) -> Found | None:
        """The newest sound one; None, after saying why, when there is none. Never raises."""
        try:
            manifests, _ = await self._manifests()
            last = await self._bus.last_sequence() if manifests else 0
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the history is there
            self._log.warning("no snapshot can be read, reading the whole history: %s", error)
            return None
        for manifest in manifests:
            try:
                return await self._read(manifest, last)
            except Exception as error:  # noqa: BLE001 - whatever is wrong, the history is there
                self._log.warning(
                    "snapshot of sequence %d is not used, reading more history: %s",
                    manifest.sequence, str(error) or repr(error),
                )  # fmt: skip
        return None

    async def _manifests(self) -> tuple[list[Manifest], int]:
        value, revision = await self._bus.kv_read(BUCKET, self._durable)
        try:
            return msgspec.msgpack.decode(value, type=list[Manifest]) if value else [], revision
        except msgspec.DecodeError as error:
            self._log.warning("the list of snapshots cannot be read, ignoring it: %s", error)
            return [], revision

    async def _read(self, manifest: Manifest, last: int) -> Found:
        if manifest.format != FORMAT or manifest.code != self._code:
            raise ValueError("made by other code or for another configuration")
        if manifest.sequence > last:
            raise ValueError(f"the stream ends at {last}: it is another one")
        if anchor_of(await self._bus.read(manifest.sequence)) != manifest.anchor:
            raise ValueError("the stream holds another message there: it is another one")
        packed = bytearray()
        for number in range(manifest.pieces):
            piece, _ = await self._bus.kv_read(BUCKET, self._key(manifest.slot, number))
            packed += piece
        if len(packed) != manifest.size or _checksum(packed) != manifest.checksum:
            raise ValueError("damaged: its checksum is another")
        unpacked = await asyncio.to_thread(zlib.decompress, packed)
        return Found(manifest.sequence, msgspec.msgpack.decode(unpacked, type=list[bytes]))

    async def keep(self, anchor: Message, slices: list[bytes], ts_ns: int) -> int:
        """Store the fold up to `anchor`, in place of the one before the newest; its size in bytes.

        Raises BusError, SnapshotTooLarge.
        """
        packed = await asyncio.to_thread(_pack, slices)
        if len(packed) > SNAPSHOT_BYTES_MAX:
            raise SnapshotTooLarge(f"{len(packed)} bytes, more than {SNAPSHOT_BYTES_MAX}: not kept")
        manifests, revision = await self._manifests()
        slot = (manifests[0].slot + 1) % KEPT if manifests else 0
        pieces = range(0, len(packed), PIECE_BYTES)
        for number, start in enumerate(pieces):
            piece = packed[start : start + PIECE_BYTES]
            await self._bus.kv_put(BUCKET, self._key(slot, number), piece)
        newest = Manifest(
            FORMAT, self._code, anchor.sequence, anchor_of(anchor), slot, len(pieces), len(packed),
            _checksum(packed), ts_ns,
        )  # fmt: skip
        listed = [newest, *(m for m in manifests[:1] if m.slot != slot)]
        value = msgspec.msgpack.encode(listed)
        if not await self._bus.kv_swap(BUCKET, self._durable, value, revision):
            raise BusError(f"another process keeps snapshots of {self._durable!r}")
        return len(packed)

    def _key(self, slot: int, number: int) -> str:
        return f"{self._durable}.{slot}.{number}"


def anchor_of(message: Message) -> str:
    """A digest of where a message was said and what."""
    return _checksum(message.subject.encode() + b"\n" + message.payload)


def _checksum(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


def _pack(slices: list[bytes]) -> bytes:
    # zlib lets the event loop go on while it works.
    return zlib.compress(msgspec.msgpack.encode(slices), 1)
