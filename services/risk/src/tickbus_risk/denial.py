"""A refusal, and the one form in which its details are told."""

from decimal import Decimal
from typing import NamedTuple

from tickbus.events import DenialReason


class Denial(NamedTuple):
    """A refusal; `detail` holds `limit=.. value=..`, and `scope=..` where limits have scopes."""

    reason: DenialReason
    detail: str


def plain(value: object) -> object:
    """A number without the zeros that arithmetic leaves behind it; anything else as it is."""
    if not isinstance(value, Decimal) or not value.is_finite() or abs(value.adjusted()) > 20:
        return value
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def deny(reason: DenialReason, limit: object, value: object, scope: str = "") -> Denial:
    """A refusal in the usual form; `scope` is whose limit it is."""
    detail = f"limit={plain(limit)} value={plain(value)}"
    return Denial(reason, f"{detail} scope={scope}" if scope else detail)
