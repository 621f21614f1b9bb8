"""Asking the ledger: one query over the bus, one answer or a clear error."""

from typing import TypeVar

import msgspec

from tickbus import codec
from tickbus.bus import Bus
from tickbus.ledger_api import Answer, LedgerRefusal

A = TypeVar("A", bound=Answer)


class LedgerRefused(Exception):
    """The ledger understood the query and would not or could not answer it."""


async def ask(bus: Bus, subject: str, query: msgspec.Struct, kind: type[A], timeout_s: float) -> A:
    """Send `query` and wait for its answer.

    Raises RequestTimeout, MalformedMessage or LedgerRefused.
    """
    payload = await bus.request(subject, codec.encode_value(query), timeout_s)
    answer: A | LedgerRefusal = codec.decode_value(payload, kind | LedgerRefusal)  # type: ignore[arg-type]
    if isinstance(answer, LedgerRefusal):
        raise LedgerRefused(answer.reason)
    return answer
