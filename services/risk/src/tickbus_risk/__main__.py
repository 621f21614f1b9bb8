"""Starts the risk service alone: `python -m tickbus_risk`."""

from tickbus.runtime import main
from tickbus_risk.service import build

main("risk", build)
