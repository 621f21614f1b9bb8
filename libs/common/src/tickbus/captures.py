"""Recorded raw venue messages, read in the order in which they were received.

Formats are known by what their lines look like, plain, gzip, zstd or a zip of one file:

* `<local receive time> <json>`: stream frames, and REST depth answers without a `stream`; the time
  in ns, or µs where it has 16 digits.
* `URL <-> t`, `URL <- t: msg`, `t: msg`, `URL -> t: body`: connected, sent, received, REST answer;
  `t` in seconds. A capture may be spread over several files.
* JSON lines with `t` (header, http, connect, disconnect, send, recv), `ts`, `conn` and `data`, or
  `b64` where a message was no text; what `tickbus feed --record` writes.
* JSON lines that are the frames themselves, with the venue's own time in ms as `ts` or `E`.
"""

import gzip
import heapq
import io
import json
import os
import re
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard

KNOWN = (
    "known are `<time> <json>` lines, `t: message` lines with their `URL -> t: body` answers,"
    " JSON lines with t, ts and data, and the bare frames, a line each"
)
SNIFF_LINES = 200

_TIMED = re.compile(rb"^(\d{16,19}) (\{.*)$", re.DOTALL)
_RECEIVED = re.compile(rb"^(\d+(?:\.\d+)?): (.*)$", re.DOTALL)
_MARKED = re.compile(rb"^(\w+://\S+) (<->|<-|->) (\d+(?:\.\d+)?)(?:: (.*))?$", re.DOTALL)
_OWN_TIME = re.compile(rb'"(?:ts|E)":"?(\d{13})\b')
_STREAM = re.compile(rb'"stream":"([^"@]+)@')


class CaptureError(Exception):
    """A file that cannot be replayed; the text names it, what is wrong, and the remedy."""


class CapturedMessage(NamedTuple):
    """One recorded message.

    `kind`: frame (from the stream), rest (an answer, see `url`), sent, connect, disconnect.
    `ts_recv`: ns UTC by the recorder's clock. `url` of a frame is where its connection was made to,
    "" where the recording does not say; `link` tells connections apart, from 1 in the order in
    which they were made, 0 where the recording does not. `source` and `line` say where it stands.
    """

    ts_recv: int
    kind: str
    url: str
    payload: bytes
    source: str
    line: int
    link: int = 0


class Problem(NamedTuple):
    """A line that could not be read; it was left out."""

    source: str
    line: int
    text: str


Read = Callable[[bytes, str, int], CapturedMessage | None]


class Captures:
    """Several capture files as one sequence; iterate once.

    `problems` fills while reading: torn or foreign lines are left out, never fatal. `on_progress`
    gets (bytes read, bytes in all) of the files as they lie on the disk, about once per 256 KiB.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._paths = [Path(path) for path in paths]
        if not self._paths:
            raise CaptureError("no capture given: name one or more files")
        for path in self._paths:
            if not path.exists():
                raise CaptureError(f"{path}: no such file")
            if path.is_dir():
                raise CaptureError(f"{path}: a directory; name the files in it")
            if self._paths.count(path) > 1:
                raise CaptureError(f"{path}: named twice; everything in it would count twice")
            if not path.is_file() or not os.access(path, os.R_OK):
                raise CaptureError(f"{path}: not a file that can be read")
        self._total = sum(path.stat().st_size for path in self._paths)
        self._done = 0
        self._said = 0
        self._on_progress = on_progress
        self.problems: list[Problem] = []
        self.adapter = ""
        """What the recorder read them with, where a recording says it."""

    def __iter__(self) -> Iterator[CapturedMessage]:
        streams = [self._file(path) for path in self._paths]
        # Within a file the order is kept as it is; between files the earlier time comes first.
        yield from heapq.merge(*streams, key=lambda message: message.ts_recv)

    def _file(self, path: Path) -> Iterator[CapturedMessage]:
        lines = self._lines(path)
        head: list[tuple[int, bytes]] = []
        for numbered in lines:
            head.append(numbered)
            if len(head) >= SNIFF_LINES:
                break
        read = _reader(path, [line for _, line in head])
        last = 0
        for number, line in _chain(head, lines):
            if not line.strip():
                continue
            try:
                message = read(line, str(path), number)
                if message is not None and not 0 <= message.ts_recv < 2**63:
                    raise ValueError("no time of this world")
            except (ValueError, ArithmeticError, LookupError, TypeError) as error:
                self.problems.append(Problem(str(path), number, f"{type(error).__name__}: {error}"))
                continue
            if isinstance(read, _JsonLines):
                self.adapter = self.adapter or read.adapter
            if message is not None:
                # A clock that stepped back must not tear the file's own order apart.
                last = max(last, message.ts_recv)
                yield message._replace(ts_recv=last)

    def _lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        number = 0
        with path.open("rb") as raw:
            counted = _Counted(raw, self._count)
            try:
                for number, line in enumerate(_decompress(counted, path), 1):
                    yield number, line.rstrip(b"\r\n")
            except (
                EOFError,
                OSError,
                zlib.error,
                zipfile.BadZipFile,
                zstandard.ZstdError,
            ) as error:
                # What was readable has been given; the rest is lost with the file's end.
                text = f"the file is damaged behind this line: {error}"
                self.problems.append(Problem(str(path), number, text))

    def _count(self, size: int) -> None:
        self._done += size
        if self._done - self._said >= 256 * 1024 or self._done >= self._total:
            self._said = self._done
            self._on_progress(self._done, self._total)


class _Counted(io.RawIOBase):
    """Tells how much of a file has been read."""

    def __init__(self, raw: BinaryIO, count: Callable[[int], None]) -> None:
        self._raw = raw
        self._count = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self._count(len(data))
        return len(data)


class _Unzstd(io.RawIOBase):
    """Reads zstd frames one behind the other; a last one that is not whole is an EOFError."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._ready = b""
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._ready:
            data = self._rest or self._raw.read(128 * 1024)
            self._rest = b""
            if not data:
                if self._begun:
                    self._begun = False
                    raise EOFError("its last zstd frame is cut off")
                return 0
            self._begun = True
            self._ready = self._frame.decompress(data)
            if self._frame.eof:
                self._rest, self._begun = self._frame.unused_data, False
                self._frame = zstandard.ZstdDecompressor().decompressobj()
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def _decompress(raw: _Counted, path: Path) -> Iterable[bytes]:
    buffered = io.BufferedReader(raw, 128 * 1024)
    magic = buffered.peek(4)[:4]
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=buffered)
    if magic == b"\x28\xb5\x2f\xfd":
        return io.BufferedReader(_Unzstd(buffered), 128 * 1024)
    if magic[:2] == b"PK":
        return _unzip(path)
    return buffered


def _unzip(path: Path) -> Iterable[bytes]:
    try:
        archive = zipfile.ZipFile(path)
        names = archive.namelist()
        if len(names) != 1:
            raise CaptureError(f"{path}: a zip archive of {len(names)} files; unpack it first")
        return archive.open(names[0])
    except zipfile.BadZipFile as error:
        raise CaptureError(f"{path}: a damaged zip archive: {error}") from error


def _chain(
    head: list[tuple[int, bytes]], rest: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[int, bytes]]:
    yield from head
    yield from rest


def _reader(path: Path, head: list[bytes]) -> Read:
    """The format of a file, by the first lines that look like one."""
    for line in head:
        if _TIMED.match(line):
            return _timed(_symbol(head, path))
        if _MARKED.match(line) or _RECEIVED.match(line) or line.startswith(b"configuration: "):
            return _Marked()
        if line.startswith(b"{") and line[:5] == b'{"t":':
            return _JsonLines()
        if line.startswith((b"{", b"[")) and _OWN_TIME.search(line):
            return _bare
    if not head:
        raise CaptureError(f"{path}: not a capture: it is empty; {KNOWN}")
    shown = head[0][:60]
    raise CaptureError(f"{path}: not a capture (it begins with {shown!r}); {KNOWN}")


def _symbol(head: list[bytes], path: Path) -> str:
    """The one symbol of a file whose REST answers do not name theirs; "" when there are several."""
    found = {match.group(1) for line in head if (match := _STREAM.search(line))}
    if len(found) == 1:
        return found.pop().decode().upper()
    return path.name.partition("_")[0].upper() if not found else ""


def _timed(symbol: str) -> Read:
    def read(line: bytes, source: str, number: int) -> CapturedMessage:
        match = _TIMED.match(line)
        if match is None:
            raise ValueError(f"no `<time> <json>`: {line[:60]!r}")
        text, payload = match.groups()
        ts_recv = int(text) * (1000 if len(text) == 16 else 1)
        if payload.startswith(b'{"lastUpdateId"'):
            return CapturedMessage(
                ts_recv, "rest", f"/depth?symbol={symbol}", payload, source, number
            )
        return CapturedMessage(ts_recv, "frame", "", payload, source, number)

    return read


class _Marked:
    """Reads `URL <-> t`, `URL <- t: msg`, `t: msg` and `URL -> t: body`."""

    def __init__(self) -> None:
        self._connected_to = ""

    def __call__(self, line: bytes, source: str, number: int) -> CapturedMessage | None:
        if line.startswith(b"configuration: "):
            return None
        received = _RECEIVED.match(line)
        if received is not None:
            ts_recv, payload = _ns(received.group(1)), received.group(2)
            return CapturedMessage(ts_recv, "frame", self._connected_to, payload, source, number)
        marked = _MARKED.match(line)
        if marked is None:
            raise ValueError(f"neither `t: message` nor `URL -> t: body`: {line[:60]!r}")
        url, mark, time, payload = marked.groups()
        kind = {b"<->": "connect", b"<-": "sent", b"->": "rest"}[mark]
        if kind == "connect":
            self._connected_to = url.decode()
        return CapturedMessage(_ns(time), kind, url.decode(), payload or b"", source, number)


_KINDS = {
    "recv": "frame", "http": "rest", "send": "sent", "connect": "connect",
    "disconnect": "disconnect",
}  # fmt: skip


class _JsonLines:
    """Reads JSON lines with t, ts, conn and data."""

    def __init__(self) -> None:
        self.adapter = ""
        self._links: dict[str, tuple[str, int]] = {}

    def __call__(self, line: bytes, source: str, number: int) -> CapturedMessage | None:
        entry = json.loads(line, parse_float=Decimal)
        if entry["t"] == "header":
            self.adapter = str(entry.get("adapter", ""))
        kind = _KINDS.get(entry["t"])
        if kind is None or "ts" not in entry:
            return None
        stamp = Decimal(entry["ts"])
        ts_recv = int(stamp * 1_000_000_000) if stamp < 10**11 else int(stamp)
        if kind == "connect":
            self._links[entry["conn"]] = (str(entry.get("addr", "")), len(self._links) + 1)
        url, link = self._links.get(str(entry.get("conn")), (str(entry.get("url") or ""), 0))
        payload = b64decode(entry["b64"]) if "b64" in entry else str(entry.get("data", "")).encode()
        return CapturedMessage(ts_recv, kind, url, payload, source, number, link)


def _bare(line: bytes, source: str, number: int) -> CapturedMessage:
    own = _OWN_TIME.search(line)
    if own is None:
        raise ValueError(f"a frame without a time of its own: {line[:60]!r}")
    return CapturedMessage(int(own.group(1)) * 1_000_000, "frame", "", line, source, number)


def _ns(seconds: bytes) -> int:
    return int(Decimal(seconds.decode()) * 1_000_000_000)
