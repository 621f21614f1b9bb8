"""Runs the history service: `python -m tickbus_history`."""

from tickbus.runtime import main
from tickbus_history.service import build

main("history", build, sharded=True)
