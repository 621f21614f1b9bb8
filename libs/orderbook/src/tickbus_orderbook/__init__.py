"""The price levels of an order book in C: `Ladders`, what `tickbus.orderbook` is built on."""

from tickbus_orderbook._ladders import Ladders

__all__ = ["Ladders"]
