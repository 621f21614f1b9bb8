"""What must outlive the process of the futures account: one line per event, like the spot journal.

`futures.jsonl`: first line the opening wallet, then one `Changes` a line, written to the operating
system before the answer goes out. An event is one line, so it is kept or lost as a whole.
"""

import os
from pathlib import Path

import msgspec

from tickbus_exchange.engine.futures_books import FuturesBooks
from tickbus_exchange.engine.futures_types import Changes
from tickbus_exchange.journal import JournalError

VERSION = 1


class FuturesOpening(msgspec.Struct, frozen=True):
    """The journal's first line."""

    version: int
    wallet: int


class FuturesJournal:
    """The futures part of a state directory, whose lock the spot journal holds."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "futures.jsonl"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)
        self._encode = msgspec.json.Encoder().encode
        self.torn_bytes = 0
        """Length of an unfinished last line that was cut off, 0 for none."""

    def restore(self, wallet: int) -> FuturesBooks:
        """Return the books as they were; new ones open with `wallet`.

        Cuts off a torn last line. Raises JournalError for a damaged file.
        """
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        self.torn_bytes = len(data) - whole
        if self.torn_bytes:
            os.truncate(self._path, whole)
        lines = data[:whole].splitlines()
        if not lines:
            self._write(self._encode(FuturesOpening(VERSION, wallet)))
            return FuturesBooks(wallet)
        number, decode = 1, msgspec.json.Decoder(Changes).decode
        try:
            opening = msgspec.json.decode(lines[0], type=FuturesOpening)
            books = FuturesBooks(opening.wallet)
            for line in lines[1:]:
                number += 1
                books.apply(decode(line))
        except msgspec.MsgspecError as error:
            message = f"{self._path} line {number} cannot be read: {error}; move the file away"
            raise JournalError(message) from error
        if opening.version != VERSION:
            raise JournalError(f"{self._path} has version {opening.version}, not {VERSION}")
        return books

    def append(self, changes: Changes) -> None:
        """Keep `changes`; they are with the operating system when this returns."""
        self._write(self._encode(changes))

    def _write(self, line: bytes) -> None:
        view = memoryview(line + b"\n")
        while view:
            view = view[os.write(self._file, view) :]

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
