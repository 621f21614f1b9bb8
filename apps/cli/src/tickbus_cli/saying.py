"""How the person at the terminal is told."""

from typing import Protocol


class Say(Protocol):
    """Tells the person at the terminal what happens; must not raise."""

    def __call__(self, text: str, /) -> None:
        """Show one line."""
        ...
