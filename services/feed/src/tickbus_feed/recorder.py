"""Raw frames as received, written for `tickbus replay` and `tickbus inspect`.

One file per hour or 256 MiB of frames, zstd-compressed JSON lines: `t` (header, connect,
disconnect, recv, send, http), `ts` (ns UTC), `conn`, `addr` or `url`, and `data`, or `b64` where a
frame is no text. A writer thread does the work. Every second what was written is flushed into a
zstd block and to the operating system, and every ten seconds to the disk (fsync): a crash of the
process loses at most a second, a loss of power ten, and what was written before stays readable.
"""

import contextlib
import json
import logging
import os
import queue
import threading
import time
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from tickbus.backoff import delays_s

FILE_BYTES_MAX = 256 * 1024 * 1024
FILE_SECONDS_MAX = 3600.0
FLUSH_S = 1.0
FSYNC_S = 10.0
QUEUE_MAX = 100_000
CLOSE_S = 10.0
RETRY_S = 5.0
RETRY_CAP_S = 300.0
LEVEL = 3

log = logging.getLogger("tickbus.feed")


class Recorder:
    """Writes one venue's messages into `directory`.

    `lost` counts messages that came faster than the disk took them: the queue holds 100,000, and
    the market data itself is never held up. `failure` says why nothing is written, while that is
    so; another file is tried with a back-off, and what waits is written to it.
    """

    def __init__(self, directory: Path, venue: str, adapter: str = "") -> None:
        self._directory = directory
        self._venue = venue
        self._adapter = adapter
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(QUEUE_MAX)
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._open: dict[str, str] = {}
        self._ts = 0
        self._closing = threading.Event()
        self.lost = 0
        self.written = 0
        self.failure = ""

    def start(self) -> None:
        """Begin. Raises OSError when nothing can be written to the directory."""
        self._directory.mkdir(parents=True, exist_ok=True)
        probe = self._directory / f".{self._venue}.probe"
        probe.touch()
        probe.unlink()
        self._thread.start()

    def close(self) -> None:
        """Write what is waiting, at most 10 s, and close the file."""
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=1.0)
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def connected(self, ts: int, conn: str, url: str) -> None:
        """A connection was made."""
        self._put({"t": "connect", "ts": ts, "conn": conn, "addr": url})

    def disconnected(self, ts: int, conn: str, reason: str) -> None:
        """A connection ended."""
        self._put({"t": "disconnect", "ts": ts, "conn": conn, "data": reason})

    def received(self, ts: int, conn: str, payload: bytes) -> None:
        """A frame came."""
        self._put({"t": "recv", "ts": ts, "conn": conn, "data": payload})

    def sent(self, ts: int, conn: str, payload: bytes) -> None:
        """We sent a frame."""
        self._put({"t": "send", "ts": ts, "conn": conn, "data": payload})

    def answered(self, ts: int, url: str, body: bytes) -> None:
        """A REST answer came."""
        self._put({"t": "http", "ts": ts, "conn": "http", "url": url, "data": body})

    def _put(self, entry: dict[str, Any]) -> None:
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self.lost += 1

    # -- the writer's thread -----------------------------------------------------------------------

    def _run(self) -> None:
        delays = delays_s(RETRY_S, RETRY_CAP_S)
        while True:
            try:
                while self._one_file():
                    delays = delays_s(RETRY_S, RETRY_CAP_S)
                return
            except OSError as error:
                self.failure = f"{self._directory}: {error}"
                delay_s = next(delays)
                log.error("nothing is recorded: %s; again in %.0f s", self.failure, delay_s)
            if self._closing.wait(delay_s):
                return

    def _one_file(self) -> bool:
        """Write one file to its bound; whether another one shall follow."""
        path = self._directory / f"{self._venue}_{datetime.now(UTC):%Y%m%dT%H%M%S_%f}.jsonl.zst"
        with path.open("wb") as file:
            with zstandard.ZstdCompressor(LEVEL).stream_writer(file, closefd=False) as stream:
                more = self._fill(file, stream)
            file.flush()
            os.fsync(file.fileno())
        return more

    def _fill(self, file: BinaryIO, stream: Any) -> bool:
        size = self._write(stream, {
            "t": "header", "format": 2, "exchange": self._venue, "adapter": self._adapter,
        })  # fmt: skip
        # Each file stands alone: it says which connections were open when it began.
        for conn, url in self._open.items():
            entry = {"t": "connect", "ts": self._ts, "conn": conn, "addr": url}
            size += self._write(stream, entry)
        began = flushed = synced = time.monotonic()
        while size < FILE_BYTES_MAX and time.monotonic() - began < FILE_SECONDS_MAX:
            with contextlib.suppress(queue.Empty):
                entry_or_end = self._queue.get(timeout=FLUSH_S)
                if entry_or_end is None:
                    return False
                self._note(entry_or_end)
                size += self._write(stream, entry_or_end)
                self.written += 1
            now = time.monotonic()
            if now - flushed >= FLUSH_S:
                flushed = now
                stream.flush(zstandard.FLUSH_BLOCK)
                file.flush()
                self.failure = ""
            if now - synced >= FSYNC_S:
                synced = now
                os.fsync(file.fileno())
        return True

    def _note(self, entry: dict[str, Any]) -> None:
        self._ts = entry["ts"]
        if entry["t"] == "connect":
            self._open[entry["conn"]] = entry["addr"]
        elif entry["t"] == "disconnect":
            self._open.pop(entry["conn"], None)

    @staticmethod
    def _write(stream: Any, entry: dict[str, Any]) -> int:
        data = entry.get("data")
        if isinstance(data, bytes):
            try:
                entry = {**entry, "data": data.decode()}
            except UnicodeDecodeError:
                entry = {k: v for k, v in entry.items() if k != "data"}
                entry["b64"] = b64encode(data).decode()
        line = json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        stream.write(line)
        return len(line)
