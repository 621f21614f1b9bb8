"""Before the platform stops, no order of ours may be left working: cancel, wait, and say so."""

import asyncio
import time
from typing import NamedTuple

from tickbus import codec, ledger_api, ledger_client, subjects
from tickbus.bus import Bus, BusError
from tickbus.codec import MalformedMessage
from tickbus.events import CancelAllOrders
from tickbus.events.orders import message_id
from tickbus.order import WORKING

POLL_S = 0.2
REPEAT_S = 2.0
"""An order that was in flight when everything was cancelled is caught by the next wish."""
ASK_TIMEOUT_S = 1.0


class Cancelled(NamedTuple):
    """How it went: orders that were working, those still working, and why nobody knows, if so."""

    asked: int
    left: tuple[str, ...]
    unknown: str = ""

    @property
    def sentence(self) -> str:
        """The same for people."""
        if self.unknown:
            return f"asked risk to cancel everything; whether it did is not known: {self.unknown}"
        if not self.asked:
            return "no working orders"
        done = f"cancelled {self.asked - len(self.left)} of {self.asked} working orders"
        if not self.left:
            return done
        listed = ", ".join(self.left[:10])
        return f"{done}; STILL WORKING at the venue: {listed}: cancel them there"


async def cancel_working(bus: Bus, run_id: str, timeout_s: float) -> Cancelled:
    """Cancel every working order and wait until the ledger says that none is left.

    A ledger that does not answer may only be late: everything is cancelled blindly, and it is asked
    again, so that execution is not stopped before it has done that.
    """
    deadline = time.monotonic() + timeout_s
    seen: set[str] = set()
    left: tuple[str, ...] = ()
    unknown = ""
    number, asked_at, quiet = 0, 0.0, 0
    while True:
        try:
            left, unknown = await working(bus), ""
        except (BusError, MalformedMessage, ledger_client.LedgerRefused, TimeoutError) as error:
            unknown, quiet = str(error) or type(error).__name__, 0
        else:
            seen.update(left)
            # Two quiet looks in a row: the first may be older than an order still on its way.
            quiet = 0 if left else quiet + 1
            if quiet >= 2:
                break
        if (left or unknown) and time.monotonic() - asked_at > REPEAT_S:
            number += 1
            try:
                await _cancel_all(bus, f"{subjects.MANUAL}-{run_id}-stop{number}")
                asked_at = time.monotonic()
            except (BusError, TimeoutError) as error:
                if unknown:
                    unknown = f"the bus is away ({str(error) or unknown})"
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(POLL_S)
    return Cancelled(len(seen), left, unknown)


async def working(bus: Bus) -> tuple[str, ...]:
    """What may trade, by the ledger. Raises BusError, MalformedMessage or LedgerRefused.

    Orders that nobody here placed are not ours to cancel, and are left out.
    """
    query = ledger_api.OrdersQuery(states=tuple(sorted(WORKING)), limit=ledger_api.LIMIT_MAX)
    answer = await ledger_client.ask(
        bus, ledger_api.ORDERS, query, ledger_api.OrdersAnswer, ASK_TIMEOUT_S
    )
    return tuple(
        order.client_order_id for order in answer.orders if order.strategy_id != subjects.EXTERNAL
    )


async def _cancel_all(bus: Bus, command_id: str) -> None:
    now = time.time_ns()
    command = CancelAllOrders(now, now, command_id)
    payload = codec.encode([command])
    async with asyncio.timeout(ASK_TIMEOUT_S):
        await bus.publish_durable(subjects.of(command), payload, message_id(command))
