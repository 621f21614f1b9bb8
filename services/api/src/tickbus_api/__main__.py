"""Run the gateway: python -m tickbus_api."""

from tickbus.runtime import main
from tickbus_api.service import build

main("api", build)
