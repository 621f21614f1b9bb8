"""The strategy service: strategies turn events into order intents."""

from tickbus_strategy.base import NoParams, NoState, Pnl, Strategy
from tickbus_strategy.desk import Market
from tickbus_strategy.spanning import SpanningStrategy

__all__ = ["Market", "NoParams", "NoState", "Pnl", "SpanningStrategy", "Strategy"]
