"""Tells risk to let nothing pass any more, where there is a bus to tell it over."""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from tickbus import codec
from tickbus.events import SetTradingState, TradingState
from tickbus.login import Login, servers

BUCKET, KEY = "control", "trading"
NATS_PORT = 4222


async def halt(
    url: str, actor: str, reason: str, login: Login | None = None, since_ns: int = 0
) -> bool:
    """Set the trading state HALTED at the bus `url`. Raises whatever the bus says.

    False where somebody has set it after `since_ns` (ns UTC): what people decided since stands.
    """
    await _knock(url)
    # Loaded here, in a thread: the first cancel must not wait for the bus client to be imported.
    nats_bus = await asyncio.to_thread(_nats_bus)
    bus = await nats_bus.connect(url, "tickbus-kill", login)
    try:
        if since_ns and await _was_set(bus, since_ns):
            return False
        now = time.time_ns()
        state = SetTradingState(now, now, TradingState.HALTED, actor, reason)
        await bus.kv_put(BUCKET, KEY, codec.encode_value(state))
    finally:
        await bus.close()
    return True


async def _was_set(bus: Any, since_ns: int) -> bool:
    value, _ = await bus.kv_read(BUCKET, KEY)
    try:
        return bool(value) and codec.decode_value(value, SetTradingState).ts_event > since_ns
    except codec.MalformedMessage:
        return False


async def _knock(url: str) -> None:
    """Fail at once where nobody listens: the bus client would go on trying."""
    known = servers(url)  # of none the bus client says what is wrong
    for place, address in enumerate(known, 1):
        try:
            return await _reach(address)
        except OSError:
            if place == len(known):
                raise


async def _reach(address: str) -> None:
    parts = urlsplit(address)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port or NATS_PORT)
    writer.close()


def _nats_bus() -> Any:
    from tickbus.bus import NatsBus

    return NatsBus
