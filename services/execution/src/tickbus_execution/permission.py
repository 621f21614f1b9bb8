"""Whether the account's key could take the money away, asked before anything is traded with it."""

from tickbus import venue_keys
from tickbus_execution import wire
from tickbus_execution.calls import Calls, VenueRefused
from tickbus_execution.refusals import SPOT, Action, read_refusal
from tickbus_execution.venue import Request
from tickbus_execution.wire import UNREADABLE, Ask

ASK = Ask("", "GET", venue_keys.RESTRICTIONS, {}, weight=1)
OVERRULE = "execution.withdrawing_key: allow"


class KeyPermission:
    """The key for the venue at `rest_url`; asked about until the answer was good, then no more."""

    def __init__(self, calls: Calls, rest_url: str, *, allowed: bool) -> None:
        self._calls = calls
        self._url = None if allowed else venue_keys.asked_at(rest_url)

    async def objection(self) -> str:
        """Why nothing may be traded with it, with the remedy; "" when it may.

        Raises VenueRefused for a key that the venue does not take, or while it wants silence,
        TimeoutError and ConnectionError: then it is not known, and is to be asked again.
        """
        if self._url is None:
            return ""
        answer = await self._calls.ask_at(self._url, ASK)
        if answer is None:
            raise TimeoutError(f"{ASK.path}: no answer")
        if answer.unsent:
            raise ConnectionError(f"{ASK.path}: {answer.unsent}")
        if answer.error is not None:
            refusal = read_refusal(SPOT, Request.QUERY, answer.error, answer.status)
            if refusal.action in (Action.HALT, Action.PAUSE):
                raise VenueRefused(ASK.path, refusal)
            return f"the venue does not tell what its key may do ({refusal.detail}); {_remedy()}"
        try:
            said = wire.read(answer.result)
        except UNREADABLE:
            said = None  # taken for the worst
        if venue_keys.may_withdraw(said):
            return (
                "its key may WITHDRAW, so whoever has it can take everything: take that permission"
                f" from it at the venue, which is looked at again by itself; {_remedy()}"
            )
        self._url = None
        return ""


def _remedy() -> str:
    return f"or trade with it all the same by {OVERRULE}"
