"""Answers whoever asks for the account to be compared now."""

import asyncio
import time
from collections.abc import Callable

from tickbus import codec
from tickbus.clock import Clock
from tickbus.events import ReconciliationCause
from tickbus.reconcile_api import Answer, ReconcileRefusal, ReconcileReport
from tickbus_execution.core import ExecutionCore
from tickbus_execution.session import Session

LOOK_S = 9.0
SETTLE_S = 14.0
POLL_S = 0.02


class Reconciling:
    """Looks at the account through `session` when asked; `core` says what that brought to light."""

    def __init__(
        self, core: ExecutionCore, session: Callable[[], Session | None], clock: Callable[[], Clock]
    ) -> None:
        self._core = core
        self._session = session
        self._clock = clock

    async def respond(self, _: bytes) -> bytes:
        """One request on the bus."""
        return codec.encode_value(await self.reconcile())

    async def reconcile(self) -> Answer:
        """Look, wait until what was found has settled, and report."""
        session, findings, venue = self._session(), self._core.findings, self._core.venue
        if session is None or not session.compared:
            return ReconcileRefusal(
                venue=venue, reason="execution is not connected to the account, or just compares it"
            )
        began = self._clock().now_ns()
        session.look_now()

        def looked() -> bool:
            last = findings.last
            asked = last is not None and last.cause is ReconciliationCause.ASKED
            return asked and last is not None and last.ts_recv >= began

        if not await _until(looked, LOOK_S):
            reason = f"the venue did not show the account within {LOOK_S:g} s"
            return ReconcileRefusal(venue=venue, reason=reason)
        look = findings.last
        assert look is not None  # it was looked
        settled = await _until(lambda: self._core.is_compared, SETTLE_S)
        return ReconcileReport(
            venue=venue,
            reconciled=look,
            differences=findings.since(began),
            standing=tuple(findings.standing.values()),
            settled=settled,
        )


async def refuse(venue: str, _: bytes) -> bytes:
    """Answer for an account that no venue keeps."""
    reason = "the account is on paper: no venue knows of it, and there is nothing to compare"
    return codec.encode_value(ReconcileRefusal(venue=venue, reason=reason, retry=False))


async def _until(look: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not look():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
