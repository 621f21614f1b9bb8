"""Runs execution: `python -m tickbus_execution`."""

from tickbus.runtime import main
from tickbus_execution.service import build

main("execution", build)
