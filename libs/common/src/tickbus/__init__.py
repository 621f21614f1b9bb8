"""Events, bus, runtime and trading arithmetic shared by every tickbus service."""

__version__ = "0.1.0"
