"""What one may ask execution about its account, over the bus: look now, and say what differs."""

import msgspec

from tickbus import codec
from tickbus.events import AccountReconciled, DifferenceFound
from tickbus.subjects import token

TIMEOUT_S = 25.0
"""For how long to wait for the answer: the account is read, and what it shows has to settle."""


def subject(venue: str) -> str:
    """Where execution of `venue` answers."""
    return f"control.execution.reconcile.{token(venue)}"


class ReconcileReport(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One look at an account, and every difference that it brought to light.

    `settled` is False while orders are still being asked about, or what is new still may explain a
    balance; what comes of that is told later, as events. `standing` are differences of balances and
    positions that were told before and still are: nothing known explains them.
    """

    venue: str
    reconciled: AccountReconciled
    differences: tuple[DifferenceFound, ...]
    standing: tuple[DifferenceFound, ...]
    settled: bool


class ReconcileRefusal(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why the account was not looked at; `retry` when asking again later may help."""

    venue: str
    reason: str
    retry: bool = True


Answer = ReconcileReport | ReconcileRefusal


def read_answer(payload: bytes) -> Answer:
    """What execution answered. Raises MalformedMessage."""
    answer: Answer = codec.decode_value(payload, ReconcileReport | ReconcileRefusal)  # type: ignore[arg-type]
    return answer
