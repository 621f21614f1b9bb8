"""What must outlive the process: an append-only journal of each user's reports, and the counters.

`journal.jsonl`: first line the opening balances, then one Report or `{"transfer":...}` a line,
written to the operating system before the answer goes out, so it survives a kill. The first user's
is in the state directory itself, every other's in `accounts/<name>`. `counters.json`: ids and last
prices, replaced once a second; a restart adds GAP to each, so an id handed out since is never
reused.
"""

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tickbus_exchange.engine.orders import Report, Trade, Transfer
from tickbus_exchange.tape import AggTrade
from tickbus_exchange.venue import USER, SavedCounters

VERSION = 1
GAP = 1_000_000
ACCOUNTS = "accounts"
_TRANSFER = b'{"transfer":'


class JournalError(Exception):
    """The state directory cannot be used; the message says why and what to do."""


class Opening(msgspec.Struct, frozen=True):
    """The journal's first line."""

    version: int
    balances: dict[str, int]


class _TransferLine(msgspec.Struct, frozen=True):
    transfer: Transfer


class Restored(msgspec.Struct):
    """What a state directory held."""

    opening: Opening | None
    reports: list[Report]
    counters: SavedCounters | None
    transfers: list[Transfer]
    torn_bytes: int = 0
    """Length of an unfinished last line that was cut off, 0 for none."""


class Journal:
    """One process's hold on one account's directory. An Observer of the venue."""

    def __init__(self, directory: Path, account_id: str = USER) -> None:
        self._account_id = account_id
        self._counters_path = directory / "counters.json"
        self._path = directory / "journal.jsonl"
        self._encoder = msgspec.json.Encoder()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        except OSError as error:
            message = f"cannot write to {directory}: {error.strerror}; choose another --state-dir"
            raise JournalError(message) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            message = f"{directory} is in use by another exchange; stop it or choose another"
            raise JournalError(message) from error

    def restore(self) -> Restored:
        """Read everything; cut off a torn last line. Raises JournalError for a damaged file."""
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        torn = len(data) - whole
        if torn:
            os.truncate(self._path, whole)
        lines = data[:whole].splitlines()
        opening: Opening | None = None
        reports: list[Report] = []
        transfers: list[Transfer] = []
        decoder = msgspec.json.Decoder(Report)
        for number, line in enumerate(lines, 1):
            try:
                if number == 1:
                    opening = msgspec.json.decode(line, type=Opening)
                elif line.startswith(_TRANSFER):
                    moved = msgspec.json.decode(line, type=_TransferLine)
                    transfers.append(moved.transfer)
                else:
                    reports.append(decoder.decode(line))
            except msgspec.MsgspecError as error:
                message = f"{self._path} line {number} cannot be read: {error}; move the file away"
                raise JournalError(message) from error
        if opening is not None and opening.version != VERSION:
            raise JournalError(f"{self._path} has version {opening.version}, not {VERSION}")
        return Restored(opening, reports, self._restore_counters(), transfers, torn)

    def _restore_counters(self) -> SavedCounters | None:
        with contextlib.suppress(FileNotFoundError):
            try:
                return msgspec.json.decode(self._counters_path.read_bytes(), type=SavedCounters)
            except msgspec.MsgspecError as error:
                message = f"{self._counters_path} cannot be read: {error}; move it away"
                raise JournalError(message) from error
        return None

    def open(self, balances: dict[str, int]) -> None:
        """Write the first line of a new journal."""
        self._write(self._encoder.encode(Opening(VERSION, balances)) + b"\n")

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Append the account's reports; the operating system has them when this returns."""
        own = [r for r in reports if r.account_id == self._account_id]
        if own:
            self._write(self._encoder.encode_lines(own))

    def on_transfer(self, transfer: Transfer) -> None:
        """Append a transfer of the account, as safely."""
        if transfer.account_id == self._account_id:
            self._write(self._encoder.encode(_TransferLine(transfer)) + b"\n")

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        """Other people's trades are not kept."""

    def on_book(self, symbol: str) -> None:
        """Nor are the books: the crowd rebuilds them."""

    def save_counters(self, counters: SavedCounters) -> None:
        """Replace the saved counters in one step."""
        temporary = self._counters_path.with_suffix(".tmp")
        temporary.write_bytes(self._encoder.encode(counters))
        temporary.replace(self._counters_path)

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._file)
