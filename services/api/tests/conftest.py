"""What every test of the gateway over HTTP may ask for."""

from api_platform import platform

__all__ = ["platform"]
