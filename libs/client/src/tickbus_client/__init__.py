"""A client of a tickbus platform: `Client` for plain code, `AsyncClient` for asyncio.

with Client() as desk:
    order = desk.orders.place("BTCUSDT", "BUY", "0.001")
"""

from tickbus_client.call import Call, Reply
from tickbus_client.clients import AsyncClient, Client
from tickbus_client.errors import (
    ApiError,
    StreamFailed,
    TickbusError,
    Unintelligible,
    Unreachable,
)
from tickbus_client.streams import AsyncStream, Stream
from tickbus_client.subscription import Update
from tickbus_client.talk import Retry

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncStream",
    "Call",
    "Client",
    "Reply",
    "Retry",
    "Stream",
    "StreamFailed",
    "TickbusError",
    "Unintelligible",
    "Unreachable",
    "Update",
]
