"""The shell that turns a pure core into a running service."""

from tickbus.runtime.context import Context
from tickbus.runtime.door import DoorEdge
from tickbus.runtime.http import HttpServer
from tickbus.runtime.lease import Lease
from tickbus.runtime.main import main
from tickbus.runtime.shell import Shell
from tickbus.runtime.spec import Core, Edge, ServiceSpec
from tickbus.runtime.telemetry import Latency, Reading, Telemetry

__all__ = [
    "Context",
    "Core",
    "DoorEdge",
    "Edge",
    "HttpServer",
    "Latency",
    "Lease",
    "Reading",
    "ServiceSpec",
    "Shell",
    "Telemetry",
    "main",
]
