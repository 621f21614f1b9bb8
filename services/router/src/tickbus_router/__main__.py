"""Starts the router alone: `python -m tickbus_router`."""

from tickbus.runtime import main
from tickbus_router.service import build

main("router", build)
