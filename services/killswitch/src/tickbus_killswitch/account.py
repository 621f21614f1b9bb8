"""One account from the command to the verdict: cancel, look twice, close, look again, report."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from tickbus.backoff import delays_s
from tickbus.kill_api import AccountReport, Exposure, VenueOrder
from tickbus_killswitch.rest import Deadline, KeyRefused, NotReached, Refused, VenueFailure
from tickbus_killswitch.venue import Venue

QUIET_LOOKS = 2
"""Empty lists in a row before an account counts as cleared: an order may still be on its way."""
KEY_TRIES = 3
FLATTEN_ROUNDS = 6
REFUSALS_MAX = 2
EXPOSURE_TIMEOUT_S = 5.0

Say = Callable[[str], None]
T = TypeVar("T")
_Key = tuple[str, str, str]


class Account:
    """One account; `began` is the command's moment on the monotonic clock.

    `timeout_s` bounds the cancelling; then, with as much again each, the closing and another look.
    `settle_s`: between the last two looks, long enough for an order that was under way to arrive.
    """

    def __init__(
        self, name: str, venue: Venue, say: Say, timeout_s: float, settle_s: float, began: float
    ) -> None:
        self.name = name
        self._venue = venue
        self._say = say
        self._timeout_s = timeout_s
        self._settle_s = settle_s
        self._began = began
        self._first_cancel_ms = -1
        self._seen: dict[_Key, VenueOrder] = {}
        self._left: dict[_Key, VenueOrder] = {}
        self._answered = False
        self._problems: dict[str, None] = {}
        self._closed: list[str] = []
        self._refusals: dict[str, int] = {}
        self._begin(timeout_s)

    def _begin(self, timeout_s: float) -> None:
        self._deadline = self._venue.rest.deadline = Deadline(timeout_s)

    async def look(self) -> None:
        """One look before anything is done: for the report, and for orders elsewhere."""
        try:
            self._note(await self._venue.working())
        except VenueFailure as error:
            self._say(f"{self.name}: cannot be read yet: {error}")
            return
        self._say(f"{self.name}: {len(self._left)} orders work")

    async def stand_down(self, *, flatten: bool) -> AccountReport:
        """Everything that is to be done with this account; a failure is told, never raised."""
        verified = await self._clear()
        if flatten and self._answered:
            self._begin(self._timeout_s)
            await self._flatten()
            self._begin(self._timeout_s)
            verified = await self._clear()
        exposure = await self._exposure()
        return AccountReport(
            account=self.name,
            verified=verified,
            cleared=tuple(order for key, order in self._seen.items() if key not in self._left),
            left=tuple(self._left.values()),
            closed=tuple(self._closed),
            exposure=tuple(exposure or ()),
            exposure_known=exposure is not None,
            unverified=tuple(self._problems),
            first_cancel_ms=self._first_cancel_ms,
        )

    async def close(self) -> None:
        """Close the connections to the venue."""
        await self._venue.rest.close()

    # -- orders ------------------------------------------------------------------------------------

    async def _clear(self) -> bool:
        """Cancel and look until nothing was there twice in a row; False when time is over."""
        wanted = dict.fromkeys((*self._venue.symbols, *(o.symbol for o in self._left.values())))
        quiet = key_tries = 0
        for delay_s in delays_s(0.1, 2.0):
            failures = await self._cancel(wanted)
            # Where the venue says no for good (it does not know the symbol), its list is enough.
            failures = {s: f for s, f in failures.items() if not _is_answer(f)}
            unread = await self._look_again()
            key_tries += any(isinstance(f, KeyRefused) for f in (*failures.values(), unread))
            quiet = 0 if failures or unread or self._left else quiet + 1
            if quiet == QUIET_LOOKS:
                self._say(f"{self.name}: no order works, seen {QUIET_LOOKS} times")
                return True
            for failure in {str(f): None for f in (*failures.values(), unread) if f is not None}:
                self._say(f"{self.name}: {failure}")
            if key_tries == KEY_TRIES or not self._deadline.left_s:
                break
            wanted = dict.fromkeys((*failures, *(o.symbol for o in self._left.values())))
            pause_s = self._settle_s if quiet else delay_s
            await asyncio.sleep(min(pause_s, self._deadline.left_s))
        self._give_up(failures, unread, quiet)
        return False

    def _give_up(
        self, failures: dict[str, Exception], unread: Exception | None, quiet: int
    ) -> None:
        for symbol, failure in failures.items():
            self._problem(f"whether everything on {symbol} was cancelled is not known: {failure}")
        if unread is not None:
            self._problem(f"whether orders work is not known: {unread}")
        elif quiet:
            self._problem("no order was listed, but there was no time for a second look")

    async def _cancel(self, symbols: Iterable[str]) -> dict[str, Exception]:
        """Cancel everything on each symbol; those that failed, and why."""
        symbols = list(symbols)
        if symbols and self._first_cancel_ms < 0:
            self._first_cancel_ms = int((time.monotonic() - self._began) * 1000)
            self._say(f"{self.name}: cancelling everything on {', '.join(symbols)}")
        answers = await asyncio.gather(
            *(self._venue.cancel(symbol) for symbol in symbols), return_exceptions=True
        )
        failures: dict[str, Exception] = {}
        for symbol, answer in zip(symbols, answers, strict=True):
            # Also a bug of ours is told and tried again: it must not keep the rest from happening.
            if isinstance(answer, Exception):
                failures[symbol] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self._answered = True
                for order in answer:
                    self._seen[_key(order)] = order
                    self._left.pop(_key(order), None)
        return failures

    async def _look_again(self) -> Exception | None:
        """List what works; what kept it from being known, None when it is."""
        try:
            self._note(await self._venue.working())
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known, and it is told
            return error
        if self._left:
            self._say(f"{self.name}: {len(self._left)} orders still work")
        return None

    def _note(self, orders: list[VenueOrder]) -> None:
        self._answered = True
        self._left = {_key(order): order for order in orders}
        self._seen |= self._left

    # -- positions ---------------------------------------------------------------------------------

    async def _flatten(self) -> None:
        """Close what is held, round by round: what is left of a position shows only afterwards."""
        for _ in range(FLATTEN_ROUNDS):
            try:
                orders = await self._patiently(self._venue.closing)
            except Exception as error:  # noqa: BLE001 - told; the orders are looked at all the same
                self._problem(f"what is to be closed is not known: {error}")
                return
            orders = [o for o in orders if self._refusals.get(o["symbol"], 0) < REFUSALS_MAX]
            if not orders or not self._deadline.left_s:
                return
            answers = await asyncio.gather(
                *(self._close(order) for order in orders), return_exceptions=True
            )
            unknown = [answer for answer in answers if isinstance(answer, BaseException)]
            for each in unknown:
                self._problem(str(each) or repr(each))
            if unknown:
                return  # with one of unknown outcome, another could be one too many

    async def _close(self, order: dict[str, Any]) -> None:
        what = f"{order['side']} {order['quantity']} {order['symbol']} at the market"
        try:
            await self._venue.send(order)
        except Refused as error:
            symbol = order["symbol"]
            self._refusals[symbol] = self._refusals.get(symbol, 0) + 1
            if self._refusals[symbol] == REFUSALS_MAX:
                self._problem(f"{what}: {error}")
            return
        except NotReached as error:
            self._say(f"{self.name}: {what}: no answer, asking what became of it: {error}")
            try:
                if not await self._patiently(lambda: self._venue.settle(order)):
                    return
            except VenueFailure as unknown:
                raise NotReached(f"{what}: not known whether it was done: {unknown}") from unknown
        self._closed.append(what)
        self._say(f"{self.name}: {what}")

    async def _exposure(self) -> list[Exposure] | None:
        self._begin(EXPOSURE_TIMEOUT_S)
        if not self._answered:
            self._problem("what the account holds is not known: the venue gave no answer")
            return None
        try:
            return await self._patiently(self._venue.exposure)
        except Exception as error:  # noqa: BLE001 - the rest of the report is told all the same
            self._problem(f"what the account holds is not known: {error}")
            return None

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, tried again while the deadline allows."""
        for delay_s in delays_s(0.1, 2.0):
            try:
                return await work()
            except NotReached:
                if delay_s >= self._deadline.left_s:
                    raise
            await asyncio.sleep(delay_s)
        raise AssertionError("unreachable")

    def _problem(self, text: str) -> None:
        self._problems[text] = None
        self._say(f"{self.name}: {text}")


def _is_answer(failure: Exception) -> bool:
    return isinstance(failure, Refused) and not isinstance(failure, KeyRefused)


def _key(order: VenueOrder) -> _Key:
    return order.symbol, order.kind, order.order_id
