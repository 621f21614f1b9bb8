"""Orders for `smart` on two exchanges: parts add up to the whole, books to both ledgers."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import metrics
from tickbus_embedded import EmbeddedNats, EmbeddedPostgres
from tickbus_testkit.collector import Collector, Received, a_collector
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.processes import PlatformProcesses
from tickbus_testkit.story import Desk, differences, wait_for
from tickbus_testkit.users import Users

ROOT = Path(__file__).parents[2]
CONFIGS = (
    ROOT / "config" / "default.yaml",
    ROOT / "config" / "venues" / "two-exchanges.yaml",
    ROOT / "tests" / "routing" / "routing.yaml",
)
VENUES = {"sim": "exchange", "sim2": "exchange-sim2"}
UNLIMITED = ("--orders-per-10s", "100000", "--weight-per-minute", "1000000")

D = Decimal
Traced = tuple[Received, list[Received]]
"""The root of an order's trace, and its hops."""
WANTED = {("one", "order"): 100, ("two", "order"): 100, ("both", "order"): 5, ("both", "part"): 5}
"""Whole traces of each strategy that are waited for; all that came are held to adding up."""
LEAST = D(5)  # USDT: what both exchanges take at least

pytestmark = [pytest.mark.slow(60), pytest.mark.timeout(600)]


class Both:
    """A platform on two exchanges, and what can be asked of it and of them."""

    def __init__(self, platform: PlatformProcesses) -> None:
        self.platform = platform
        self.desks = {
            venue: Desk(platform.api_url, platform.exchange_urls[exchange], venue)
            for venue, exchange in VENUES.items()
        }
        self.desk = self.desks["sim"]

    def order(self, **body: Any) -> dict[str, Any]:
        """POST an order for `smart` and wait for its end."""
        body = {"symbol": "BTCUSDT", "venue": "smart", "price": None, **body}
        answer = self.desk.order(**body)
        assert answer.status_code in (201, 202), answer.text
        return self.ended(answer.json()["id"])

    def ended(self, order_id: str) -> dict[str, Any]:
        """The order once it has ended."""

        def look() -> Any:
            order = self.desk.get(f"/api/v1/orders/{order_id}")
            return None if order["working"] or order["state"] == "PENDING_RISK" else order

        found: dict[str, Any] = wait_for(f"the end of {order_id}", look)
        return found

    def events_of(self, order_id: str) -> list[str]:
        """The kinds of all that happened to an order."""
        steps = self.desk.get(f"/api/v1/orders/{order_id}")["events"]
        return [step["event"] for step in steps]

    def parts(self) -> dict[str, list[dict[str, Any]]]:
        """The parts of each whole order, by its id."""
        found: dict[str, list[dict[str, Any]]] = {}
        for order in self.desk.all("orders"):
            if order["venue"] == "smart":
                found.setdefault(order["id"], [])
            elif order["parent"]:
                found.setdefault(order["parent"], []).append(order)
        return found

    def story(self, order: dict[str, Any]) -> str:
        """What became of a whole order and its parts, for a test that fails."""
        names = ("id", "venue", "quantity", "filled_quantity", "price", "state", "reason", "detail")
        told = [order, *self.parts()[order["id"]]]
        return "\n".join(" ".join(str(each[name]) for name in names) for each in told)

    def top(self, venue: str) -> tuple[float, float] | None:
        """Best bid and ask of BTC-USDT; None before they are known."""
        prices = self.desk.get("/api/v1/prices")["prices"]
        known = [p for p in prices if (p["venue"], p["instrument_id"]) == (venue, "BTC-USDT")]
        price = known[0]
        return None if price["mid"] is None else (price["bid"], price["ask"])

    def settle(self, timeout_s: float = 120.0) -> None:
        """Wait until nothing works and everything adds up."""
        found: list[str] = []

        def look() -> bool:
            found[:] = differences(list(self.desks.values()))
            return not found

        try:
            wait_for("books that add up", look, timeout_s)
        except AssertionError as error:
            raise AssertionError("\n".join(found[:20])) from error


@asynccontextmanager
async def two_exchanges(directory: Path, *overlays: Path) -> AsyncIterator[Both]:
    """Everything runs with all permissions on, and each exchange has a price of its own."""
    users = Users()
    nats = EmbeddedNats(directory / "nats", accounts=users.accounts, start_timeout_s=PATIENCE_S)
    async with nats, EmbeddedPostgres(directory / "pg", start_timeout_s=PATIENCE_S) as postgres:
        platform = PlatformProcesses(
            directory, nats.url, postgres.dsn, (*CONFIGS, *overlays), 5, UNLIMITED, users,
            further=("sim2",),
        )  # fmt: skip
        both = Both(platform)
        try:
            await asyncio.to_thread(_start, platform)
            await asyncio.to_thread(
                wait_for, "prices everywhere", lambda: all(map(both.top, (*VENUES, "smart"))), 120.0
            )
            yield both
        finally:
            for name in platform.stop_order:
                await asyncio.to_thread(platform[name].stop)


def _start(platform: PlatformProcesses) -> None:
    for process in platform.processes.values():
        process.start()
    for process in platform.processes.values():
        process.until_ready()


@pytest.fixture(autouse=True)
def _strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKBUS_ROUTING", str(ROOT / "tests" / "routing"))


def _send_traces(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    # What a collector that stands still does not take in time is lost.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")


async def test_parts_trade_on_both_exchanges_and_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_collector() as collector:
        _send_traces(collector, monkeypatch)
        async with two_exchanges(tmp_path) as both:
            await asyncio.to_thread(_trade_by_hand, both)
            await asyncio.to_thread(_strategy_trades, both)
            await asyncio.to_thread(_ends_in_order, both)
    _traces_are_whole(collector)


def _trade_by_hand(both: Both) -> None:
    plain = both.desk.order(symbol="BTCUSDT", side="Buy", quantity=0.001, price=None)
    assert plain.json()["venue"] == "sim", "without a venue the main one is meant"
    bought = both.order(side="Buy", quantity="2")  # more than either account could pay for
    _is_done(both, bought)
    parts = both.parts()[bought["id"]]
    assert {part["venue"] for part in parts} == {"sim", "sim2"}, parts
    assert sum(D(part["filled_quantity"]) for part in parts) == D(bought["filled_quantity"])
    one = both.desk.get(f"/api/v1/orders/{parts[0]['id']}")
    assert one["parent"] == bought["id"]
    theirs = {v: desk.ledger_of_the_exchange()["orders"] for v, desk in both.desks.items()}
    for part in parts:
        assert part["id"] in {order["clientOrderId"] for order in theirs[part["venue"]]}
    _, ask = both.top("smart") or (0.0, 0.0)
    limited = both.order(
        side="Buy", quantity="0.2", price=str(round(ask * 1.03, 2)), time_in_force="IOC"
    )
    _is_done(both, limited)
    bid, _ = both.top("smart") or (0.0, 0.0)
    far = both.order(
        side="Buy", quantity="0.4", price=str(round(bid * 0.95, 2)), time_in_force="IOC"
    )
    assert far["state"] == "EXPIRED"
    assert far["reason"].startswith("NO_LIQUIDITY limit=")
    sold = both.order(side="Sell", quantity="2.5")
    _is_done(both, sold)
    # Of the small one: the books may not have shown as much as the others took.
    wait_for("its measure", lambda: "BestExecution" in both.events_of(limited["id"]))
    assert "tickbus_router_shortfall_bps" in both.platform["router"].metrics()
    exported = both.platform["router"].metrics()
    assert metrics.problems("router", exported, metrics.declared()) == []
    refused = both.desk.order(
        symbol="BTCUSDT", venue="smart", side="Buy", quantity=0.1, price=str(round(bid * 0.99, 2))
    )
    assert (refused.status_code, refused.json()["venue_reason"]) == (
        422, "SMART_TIME_IN_FORCE_UNSUPPORTED",
    )  # fmt: skip


def _is_done(both: Both, order: dict[str, Any]) -> None:
    """All is traded but a rest that no venue takes: parts are filled as the books were."""
    left = D(order["quantity"]) - D(order["filled_quantity"])
    if order["state"] != "FILLED":
        assert order["reason"].startswith("REST_TOO_SMALL "), both.story(order)
        bid, _ = both.top("smart") or (0.0, 0.0)
        assert left * D(str(bid)) < LEAST * D("1.05"), both.story(order)  # the price has moved


def _strategy_trades(both: Both) -> None:
    def own() -> list[dict[str, Any]]:
        orders = both.desk.all("orders")
        return [o for o in orders if (o["strategy"], o["venue"]) == ("both", "smart")]

    def is_filled(count: int) -> Callable[[], bool]:
        return lambda: sum(order["state"] == "FILLED" for order in own()) >= count

    wait_for("orders of the strategy", is_filled(4), 120)
    both.platform["strategy"].kill()
    both.platform["strategy"].start().until_ready()
    before = sum(order["state"] == "FILLED" for order in own())
    wait_for("more of them", is_filled(before + 4), 120)


def _ends_in_order(both: Both) -> None:
    both.platform["strategy"].stop()
    both.settle()
    assert not [s for s in both.desk.get("/api/v1/portfolio")["positions"] if s["venue"] == "smart"]
    for process in ("router", "execution", "execution-sim2", "feed", "feed-sim2"):
        assert "bus_permission_denied" not in both.platform[process].metrics(), process
    for name in both.platform.stop_order:
        assert both.platform[name].stop() == 0, both.platform[name].tail()


def _traces_are_whole(collector: Collector) -> None:
    """Of the orders by hand each; the strategy was killed with some of its own untold."""
    roots = [span for span in collector.spans if span.name == "order"]
    by_hand = [root for root in roots if root.attributes["tickbus.strategy"] == "manual"]
    assert {root.attributes["tickbus.venue"] for root in by_hand} == {"sim", "sim2", "smart"}
    for root in by_hand:
        trace = collector.trace(root.trace_id)
        hops = [span for span in trace if span.parent_id == root.span_id]
        assert sum(hop.duration_ns for hop in hops) == pytest.approx(root.duration_ns, rel=0.05)
        known = {span.span_id for span in trace}
        assert all(span.parent_id in known for span in trace if span is not root), trace
        assert {"risk", "ledger"} <= {span.service for span in trace}
    wholes = [root for root in by_hand if root.attributes["tickbus.venue"] == "smart"]
    parts = {root.trace_id: root for root in by_hand if "tickbus.parent_id" in root.attributes}
    for part in parts.values():
        ((trace_id, span_id),) = part.links
        assert (trace_id, span_id) in [(whole.trace_id, whole.span_id) for whole in wholes]
    told = [span for span in collector.spans if span.name == "part"]
    linked = {trace_id for span in told for trace_id, _ in span.links}
    assert parts.keys() <= linked
    calls = [span for span in collector.spans if span.name == "POST /api/v1/orders"]
    assert {call.trace_id for call in calls} == {whole.trace_id for whole in by_hand} - parts.keys()
    ticked = [span for span in collector.spans if span.name == "router to strategy"]
    assert ticked, "the strategy trades on the router's view of both books"
    names = {span.name for span in collector.trace(ticked[0].trace_id)}
    assert {"feed", "router", "strategy", "strategy to risk"} <= names


async def test_hops_of_all_orders_of_strategies_add_up_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_collector() as collector:
        _send_traces(collector, monkeypatch)
        async with two_exchanges(tmp_path, ROOT / "tests" / "routing" / "traced.yaml"):
            for (strategy, what), count in WANTED.items():
                look = partial(_whole_traces, collector, strategy, what, count)
                name = f"{what}s of {strategy}"
                found = await asyncio.to_thread(wait_for, name, look, 120.0)
                for root, hops in found:
                    total = sum(hop.duration_ns for hop in hops)
                    assert total == pytest.approx(root.duration_ns, rel=0.05), (root, hops)


def _whole_traces(collector: Collector, strategy: str, what: str, count: int) -> list[Traced]:
    """The orders of `strategy`, or their parts, of which every hop has come; [] for too few."""
    under: dict[str, list[Received]] = {}
    spans = list(collector.spans)
    for span in spans:
        under.setdefault(span.parent_id, []).append(span)
    found = []
    for root in spans:
        if (root.name, root.attributes.get("tickbus.strategy")) != ("order", strategy):
            continue
        is_part = "tickbus.parent_id" in root.attributes
        if is_part is not (what == "part"):
            continue
        who = ("router",) if is_part else ("feed", "strategy")
        hops = under.get(root.span_id, [])
        then = "router" if root.attributes["tickbus.venue"] == "smart" else "execution"
        way = {*who, f"{who[-1]} to risk", "risk", f"risk to {then}", then, "venue"}
        if way <= {hop.name for hop in hops}:
            found.append((root, hops))
    return found if len(found) >= count else []


async def test_whatever_dies_in_the_middle_the_parts_add_up(tmp_path: Path) -> None:
    async with two_exchanges(tmp_path) as both:
        for victim in ("router", "execution-sim2", "risk", "router", "execution"):
            await asyncio.to_thread(_kill_in_the_middle, both, victim)
        await asyncio.to_thread(_venue_is_down, both)
        both.platform["strategy"].stop()
        await asyncio.to_thread(both.settle)
        assert "restored the snapshot" in both.platform["router"].log()


def _kill_in_the_middle(both: Both, victim: str) -> None:
    before = len(both.parts())
    process = both.platform[victim]
    answers: list[str] = []
    for side in ("Buy", "Sell"):
        body = {"symbol": "BTCUSDT", "venue": "smart", "quantity": "0.5", "price": None}
        answers.append(_sent(both.platform.api_url, {**body, "side": side}))
    process.kill()
    process.start().until_ready()
    for order_id in answers:
        assert both.ended(order_id)["state"] in ("FILLED", "EXPIRED")
    wait_for("the strategy to go on", lambda: len(both.parts()) > before + len(answers))


def _sent(api_url: str, body: dict[str, Any]) -> str:
    """POST an order without waiting for its end."""
    key = uuid.uuid4().hex
    with httpx.Client(base_url=api_url, timeout=0.03) as client:
        try:
            answer = client.post("/api/v1/orders", json=body, headers={"Idempotency-Key": key})
        except httpx.TimeoutException:
            with httpx.Client(base_url=api_url, timeout=60) as patient:
                answer = patient.post("/api/v1/orders", json=body, headers={"Idempotency-Key": key})
    order_id: str = answer.json()["id"]
    return order_id


def _venue_is_down(both: Both) -> None:
    both.platform["exchange-sim2"].kill()
    wait_for("a stale book", lambda: all(_stale(both, "sim2")))
    bought = both.order(side="Buy", quantity="0.3")
    assert bought["filled_quantity"] != "0", both.story(bought)
    assert {part["venue"] for part in both.parts()[bought["id"]]} == {"sim"}
    both.platform["exchange-sim2"].start().until_ready()
    wait_for("a sound book", lambda: not any(_stale(both, "sim2")), 120)
    for name in ("feed-sim2", "execution-sim2"):
        both.platform[name].until_ready()


def _stale(both: Both, venue: str) -> list[bool]:
    prices = both.desk.get("/api/v1/prices")["prices"]
    return [p["stale"] for p in prices if p["venue"] == venue]
