"""The bus: one interface, one implementation over NATS and one in memory."""

from tickbus.bus.base import (
    Bus,
    BusDenied,
    BusError,
    BusRefused,
    Consumption,
    Handler,
    Kept,
    KeyHandler,
    Message,
    RequestTimeout,
    Responder,
    Stored,
    Subscription,
)
from tickbus.bus.memory import MemoryBus
from tickbus.bus.nats import NatsBus

__all__ = [
    "Bus",
    "BusDenied",
    "BusError",
    "BusRefused",
    "Consumption",
    "Handler",
    "Kept",
    "KeyHandler",
    "MemoryBus",
    "Message",
    "NatsBus",
    "RequestTimeout",
    "Responder",
    "Stored",
    "Subscription",
]
