"""A refusal, and the one form in which its details are told."""

from typing import NamedTuple

from tickbus.events import DenialReason


class Denial(NamedTuple):
    """A refusal; `detail` holds `limit=.. value=..`."""

    reason: DenialReason
    detail: str


def deny(reason: DenialReason, limit: object, value: object) -> Denial:
    """A refusal in the usual form."""
    return Denial(reason, f"limit={limit} value={value}")
