"""Runs the strategies: `python -m tickbus_strategy`."""

from tickbus.runtime import main
from tickbus_strategy.service import build

main("strategy", build)
