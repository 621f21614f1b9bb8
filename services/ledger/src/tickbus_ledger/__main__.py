"""Starts the ledger alone: `python -m tickbus_ledger`."""

from tickbus.runtime import main
from tickbus_ledger.service import build

main("ledger", build)
