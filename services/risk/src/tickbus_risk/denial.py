"""A refusal, and the one form in which its details are told."""

from typing import NamedTuple

from tickbus.events import DenialReason


class Denial(NamedTuple):
    """A refusal; `detail` holds `limit=.. value=..`, and `scope=..` where limits have scopes."""

    reason: DenialReason
    detail: str


def deny(reason: DenialReason, limit: object, value: object, scope: str = "") -> Denial:
    """A refusal in the usual form; `scope` is whose limit it is."""
    detail = f"limit={limit} value={value}"
    return Denial(reason, f"{detail} scope={scope}" if scope else detail)
