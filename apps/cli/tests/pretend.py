"""Services that only pretend, for tests of the command line: `python pretend.py NAME`."""

import asyncio
import contextlib
import os
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from tickbus import codec, ledger_api, subjects
from tickbus.bus import Message
from tickbus.config import Settings
from tickbus.events import Event, OrderType, Quote, Side
from tickbus.order import Order, OrderState
from tickbus.runtime import Context, ServiceSpec, main

SERVICES = (
    "feed", "book", "strategy", "risk", "execution", "ledger", "history", "api", "killswitch",
    "alerts",
)  # fmt: skip
ZERO = Decimal(0)


class Nothing:
    """A core that passes on what its edge emits."""

    def handle(self, event: Any, /) -> list[Event]:
        return [event] if isinstance(event, Quote) else []


class Ticks:
    """A feed that never stops, and that crashes when a file says so."""

    async def start(self, context: Context) -> None:
        context.telemetry.observe_us("tick_to_order", 700)
        context.spawn(self._run(context), "ticks")

    async def _run(self, context: Context) -> None:
        crash = os.environ.get("PRETEND_CRASH", "")
        while not (crash and Path(crash).exists()):
            now = context.clock.now_ns()
            await context.emit([Quote(now, now, "sim", "BTC-USDT", 1.0, 1.0, 2.0, 1.0, 1)])
            await asyncio.sleep(0.01)
        raise RuntimeError("the venue bit me")

    async def stop(self) -> None:
        pass


class Books:
    """A ledger with one order that works until somebody cancels everything."""

    def __init__(self) -> None:
        self.order = Order(
            client_order_id="pretend-r-1", strategy_id="pretend", venue="sim",
            instrument_id="BTC-USDT", side=Side.BUY, order_type=OrderType.LIMIT,
            quantity=Decimal(1), price=Decimal(1), state=OrderState.OPEN,
            ts_created=1, ts_updated=1,
        )  # fmt: skip

    async def start(self, context: Context) -> None:
        await context.bus.follow([subjects.INTENTS_ALL], 1, self._on_intent)

    async def _on_intent(self, message: Message) -> None:
        with contextlib.suppress(codec.MalformedMessage):
            if codec.decode(message.payload).events:
                self.order.state = OrderState.CANCELED

    async def stop(self) -> None:
        pass

    async def orders(self, _: bytes) -> bytes:
        working = (self.order,) if self.order.is_working else ()
        return codec.encode_value(ledger_api.OrdersAnswer(orders=working))

    async def portfolio(self, _: bytes) -> bytes:
        return codec.encode_value(
            ledger_api.PortfolioAnswer(
                currency="USDT", positions=(), balances={}, realized_pnl=ZERO, unrealized_pnl=ZERO,
                fees=ZERO, net_pnl=ZERO, orders=1, working_orders=int(self.order.is_working),
            )
        )  # fmt: skip


def build(name: str, _: Settings) -> ServiceSpec:
    """The pretended service `name`."""
    if name == "feed":
        return ServiceSpec(name=name, core=Nothing(), edges=(Ticks(),))
    if name == "ledger":
        books = Books()
        answers = {ledger_api.ORDERS: books.orders, ledger_api.PORTFOLIO: books.portfolio}
        return ServiceSpec(name=name, core=Nothing(), edges=(books,), responders=answers)
    return ServiceSpec(name=name, core=Nothing())


if __name__ == "__main__":
    chosen = sys.argv.pop(1)
    main(chosen, partial(build, chosen))
