"""Run strategies, each of which turns market events into order intents."""
