"""What the books know of a strategy or venue that nobody has is an error, not an empty list."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tickbus import codec, ledger_api
from tickbus.bus import Bus, MemoryBus
from tickbus.events import Balance, Instrument, OrderType, Side, SubmitOrder
from tickbus.order import Order
from tickbus_cli import asking, ledger, names
from tickbus_cli.errors import CliError

D = Decimal
SOL = Instrument("sim", "SOL-USDT", "SOLUSDT", "SOL", "USDT", D("0.01"), D("0.01"))
CONFIGURATION = """
venue:
  name: sim
  adapter: binance
  rest_url: x
  ws_url: x
  ws_api_url: x
  instruments: [BTC-USDT]
  fees: { maker: 0, taker: 0 }
strategies:
  - { id: ping-pong, kind: ping-pong, instruments: [BTC-USDT] }
  - { id: resting, kind: ping-pong, instruments: [BTC-USDT], enabled: false }
"""


def an_order(strategy: str, venue: str, instrument: str) -> Order:
    terms = (Side.BUY, OrderType.LIMIT, D(1), D(1))
    return Order.from_submit(SubmitOrder(1, 1, "o-1", strategy, venue, instrument, *terms))


class Ledger:
    """A ledger with one order of a strategy and a venue that are gone."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.orders = [an_order("gone", "past", "LTC-USDT")]

    async def start(self, monkeypatch: pytest.MonkeyPatch, files: list[str]) -> None:
        empty: dict[str, Any] = {
            ledger_api.POSTINGS: ledger_api.PostingsAnswer(postings=()),
            ledger_api.PORTFOLIO: ledger_api.PortfolioAnswer(
                currency="USDT", positions=(), balances={"sim2": (Balance("BTC", D(1), D(0)),)},
                realized_pnl=D(0), unrealized_pnl=D(0), fees=D(0), net_pnl=D(0),
            ),
        }  # fmt: skip
        for subject, answer in empty.items():
            await self.bus.respond(subject, _saying(answer))
        await self.bus.respond(ledger_api.ORDERS, self._orders)
        await self.bus.kv_put("instruments", "sim.SOL-USDT", codec.encode_value(SOL))

        @asynccontextmanager
        async def the_bus(_: argparse.Namespace) -> AsyncIterator[Bus]:
            yield self.bus

        monkeypatch.setattr(asking, "the_bus", the_bus)
        monkeypatch.setattr(asking, "files", lambda _: files)
        monkeypatch.setattr(names.risk_report, "__defaults__", (0.01,))

    async def _orders(self, payload: bytes) -> bytes:
        query = codec.decode_value(payload, ledger_api.OrdersQuery)
        found = [
            order
            for order in self.orders
            if query.strategy_id in ("", order.strategy_id)
            and query.venue in ("", order.venue)
            and query.instrument_id in ("", order.instrument_id)
            and query.since_ns <= order.ts_created
        ]
        return codec.encode_value(ledger_api.OrdersAnswer(orders=tuple(found)))


def _saying(answer: Any) -> Any:
    async def respond(_: bytes) -> bytes:
        return codec.encode_value(answer)

    return respond


async def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *argv: str) -> Any:
    file = tmp_path / "mine.yaml"
    file.write_text(CONFIGURATION, encoding="utf-8")
    await Ledger().start(monkeypatch, [str(file)])
    parser = argparse.ArgumentParser()
    ledger.configure(parser)
    return await ledger._postings(parser.parse_args(["explain", "BTC", *argv]))


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [
        ("strategy", "pingpong", "Did you mean 'ping-pong'?"),
        ("venue", "zim2", "Did you mean 'sim2'?"),
        ("venue", "XX", "Known venues: sim, sim2."),
    ],
)
async def test_what_nobody_has_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, name: str, nearest: str
) -> None:
    with pytest.raises(CliError) as caught:
        await ask(monkeypatch, tmp_path, f"--{kind}", name)
    assert str(caught.value) == f"there is no {kind} {name!r} here\n  {nearest}"


@pytest.mark.parametrize(
    "argv",
    [
        ("--strategy", "ping-pong"),
        ("--strategy", "resting"),
        ("--strategy", "external"),
        ("--strategy", "gone", "--since", "2026-01-01"),
        ("--venue", "past"),
        ("--venue", "sim"),
    ],
)
async def test_what_exists_or_existed_has_nothing_to_explain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    assert await ask(monkeypatch, tmp_path, *argv) == []
