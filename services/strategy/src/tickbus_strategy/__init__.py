"""The strategy service: strategies turn events into order intents."""

from tickbus_strategy.base import NoParams, Strategy

__all__ = ["NoParams", "Strategy"]
