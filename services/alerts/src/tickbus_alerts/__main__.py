"""Runs the alerts service: `python -m tickbus_alerts`."""

from tickbus.runtime import main
from tickbus_alerts.service import build

main("alerts", build)
