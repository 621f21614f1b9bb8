"""What OpenAPI says, held against a gateway that runs: made-up requests to every route.

No answer is a failure of the gateway's, and each has a status, a media type and a body that the
document foretells.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx
import hypothesis
import jsonschema_rs
import msgspec
import schemathesis
from api_platform import NOW, Platform
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.examples import get_strategies_from_examples

from tickbus import (
    alerts_api,
    codec,
    history_api,
    ledger_api,
    reconcile_api,
    risk_api,
    strategy_api,
    subjects,
)
from tickbus.events import (
    GLOBAL,
    AccountReconciled,
    BookDepth,
    BookTop,
    EquityPoint,
    FeedState,
    FeedStatus,
    LimitReport,
    ReconciliationCause,
    RiskReport,
    RiskState,
    ScopeReport,
    SetStrategy,
    Side,
    StrategyChanged,
    StrategyOutcome,
    StrategyPhase,
    StrategyTerms,
    Trade,
    TradingState,
)
from tickbus.kill_api import KillReport, KillRequest
from tickbus_api.killswitch import KillSwitch

D = Decimal
EXAMPLES_MAX = 5
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
]
POINT = EquityPoint(NOW, D("100.5"), D("0.5"), D(0), D("0.5"), D(0), D(0), D(0))
TERMS = StrategyTerms("momentum", ("BTC-USDT",), {"window_s": 5})
CANDLE = history_api.Candle(
    ts_open=NOW, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0, notional=1.0, buys=1.0,
    trades=3, vwap=1.0, mid=1.0, volatility=0.1, spread_bps=1.0, spread_bps_max=2.0, bid_size=1.0,
    ask_size=3.0,
)  # fmt: skip
ALERT = alerts_api.Alert(
    alert_id="a1", rule="fills", subject="pp", severity=alerts_api.Severity.INFO, title="t",
    detail="d", remedy="r", count=1, ts_first=NOW, ts_last=NOW, ts_raised=NOW,
    deliveries={"desk": alerts_api.Delivery(owed=1, sent=1, attempts=1, ts_sent=NOW)},
)  # fmt: skip
ANSWERS: dict[str, msgspec.Struct] = {
    ledger_api.POSTINGS: ledger_api.PostingsAnswer(
        postings=(
            ledger_api.PostingRecord(
                sequence=7, line=0, ts_event=NOW, venue="sim", asset="BTC", amount=D("-0.10"),
                balance=D("0.0123"), account="trading", cause="FILL", reference="f9",
                instrument_id="BTC-USDT", strategy_id="pp", client_order_id="pp-r-1",
            ),
        )
    ),
    ledger_api.EQUITY: ledger_api.EquityAnswer(currency="USDT", points=(POINT,)),
    ledger_api.AUDIT: ledger_api.AuditAnswer(
        rows=(
            ledger_api.AuditRow(
                sequence=7, kind="BalanceAdjusted", client_order_id="", ts_event=NOW, ts_recv=NOW,
                body='{"amount":"1"}', hash="ab",
            ),
        )
    ),
    ledger_api.DENIALS: ledger_api.DenialsAnswer(
        denials=(
            ledger_api.DenialRecord(
                sequence=7, ts_recv=NOW, client_order_id="pp-r-1", strategy_id="pp", venue="sim",
                instrument_id="BTC-USDT", reason="NOTIONAL_ABOVE_MAX", detail="limit=5 value=10",
                is_cancel=False, wish='{"quantity":"0.10"}',
            ),
        )
    ),
    ledger_api.SERIES: ledger_api.SeriesAnswer(
        currency="USDT", since_ns=NOW, until_ns=NOW, step_ns=10**9,
        curves=(ledger_api.Curve(strategy_id="pp", baseline=POINT, points=(POINT,)),),
    ),
    ledger_api.SESSION: ledger_api.SessionAnswer(
        session=ledger_api.SessionRecord(sequence=1, ts_started=NOW, actor="ann", reason="r")
    ),
    alerts_api.LIST: alerts_api.AlertsAnswer(active=(ALERT,), recent=(), channels=(), rules=()),
    alerts_api.TEST: alerts_api.TrialAnswer(problem="", scheme="json"),
    history_api.CANDLES: history_api.CandlesAnswer((CANDLE,)),
    risk_api.USAGE: risk_api.UsageAnswer(
        currency="USDT",
        limits=(
            risk_api.LimitUsage(scope=GLOBAL, name="open_orders_max", limit=D(5), used=D(1)),
        ),
    ),
    risk_api.PREVIEW: risk_api.PreviewAnswer(
        reason="", detail="", price=D(100), notional=D(50), position=D(0), position_after=D(1)
    ),
    reconcile_api.subject("sim"): reconcile_api.ReconcileReport(
        venue="sim", differences=(), standing=(), settled=True,
        reconciled=AccountReconciled(NOW, NOW, "sim", ReconciliationCause.ASKED, 0, 0, 0, 0),
    ),
}  # fmt: skip


class NoKillSwitch(KillSwitch):
    """Says that it killed everything; there is nothing to kill."""

    async def kill(self, request: KillRequest) -> dict[str, Any]:
        report = KillReport(
            exit_code=0, summary="nothing works", reason=request.reason, flatten=request.flatten,
            halted=True, halt_detail="", accounts=(), seconds=0.1,
        )  # fmt: skip
        found: dict[str, Any] = msgspec.to_builtins(report)
        return found


class Desk(Platform):
    """The gateway on a real port, with a stand-in for everybody that it may ask."""

    async def open(self) -> int:
        self.app.state.gateway.killswitch = NoKillSwitch("", "")
        self.hurry()
        self.answer = lambda _: ()  # an order is pending for as long as nobody says otherwise
        for subject, answer in ANSWERS.items():
            await self.bus.respond(subject, always(answer))
        self.running: list[str] = []
        await self.bus.respond(subjects.STRATEGIES, self._strategies)
        for name in ("momentum", "pp"):
            await self._run(name)
        await self.start()
        await self.bus.kv_watch("strategies", self._on_wish)
        await self.publish(
            BookTop(NOW, NOW, "sim", "BTC-USDT", 99.0, 1.0, 101.0, 1.0, 1, 7),
            BookDepth(
                NOW, NOW, "sim", "BTC-USDT", ((99.0, 1.0),), ((101.0, 1.0),), 1, 7
            ),
            Trade(NOW, NOW, "sim", "BTC-USDT", "t1", 100.5, 0.25, Side.SELL),
            FeedStatus(NOW, NOW, "sim", "BTC-USDT", FeedState.LIVE),
            RiskState(NOW, NOW, TradingState.HALTED, "because", 0, 0),
            RiskReport(
                NOW, NOW, "USDT",
                (ScopeReport(GLOBAL, TradingState.HALTED, "r", D(0), D(0), D(0), D(0), D(0)),),
                (LimitReport(GLOBAL, "open_orders_max", D(5), D(5)),),
            ),
        )  # fmt: skip
        (edge,) = self.shell.spec.edges
        port: int = getattr(edge, "port")  # noqa: B009 - of edges only this one has one
        return port

    async def _run(self, name: str) -> None:
        self.running.append(name)
        await self.bus.respond(subjects.strategy_questions(name), self._strategies)

    async def _strategies(self, payload: bytes) -> bytes:
        match strategy_api.read_question(payload):
            case strategy_api.ListStrategies(asked):
                found = tuple(a_report(name) for name in self.running if asked in ("", name))
                return codec.encode_value(strategy_api.StrategyReports(found))
            case strategy_api.ListKinds():
                kind = strategy_api.KindReport("momentum", "t", params='{"type":"object"}')
                return codec.encode_value(strategy_api.KindReports((kind,)))
        return codec.encode_value(strategy_api.Checked())

    async def _on_wish(self, _: str, payload: bytes) -> None:
        wish = codec.decode_value(payload, SetStrategy)
        if wish.strategy_id not in self.running:
            await self._run(wish.strategy_id)
        await self.publish(
            StrategyChanged(
                NOW, NOW, wish.strategy_id, wish.revision, StrategyOutcome.APPLIED, None,
                wish.terms, wish.actor, wish.reason,
            )
        )  # fmt: skip


def a_report(name: str) -> strategy_api.StrategyReport:
    return strategy_api.StrategyReport(
        name, StrategyPhase.STOPPED, TERMS, '{"window_s":5.0}', 1, True, "", ()
    )


def always(answer: msgspec.Struct) -> Callable[[bytes], Awaitable[bytes]]:
    payload = codec.encode_value(answer)

    async def respond(_: bytes) -> bytes:
        return payload

    return respond


@contextmanager
def a_running_gateway() -> Iterator[int]:
    """Its port; it runs in a thread of its own, as the requests come from this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> tuple[Desk, int]:
        desk = Desk()
        return desk, await desk.open()

    desk, port = asyncio.run_coroutine_threadsafe(begin(), loop).result(60)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(desk.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


class Document:
    """The bodies that the document foretells."""

    def __init__(self, port: int) -> None:
        self._found = httpx.get(f"http://127.0.0.1:{port}/openapi.json", timeout=30).json()
        self._known: dict[tuple[str, str, int], jsonschema_rs.Validator] = {}

    def check(self, path: str, method: str, response: schemathesis.Response) -> None:
        """Refuse a body of JSON that is not as foretold. Raises ValidationError."""
        # Not by schemathesis' own check, which takes the prefixItems of OpenAPI 3.1 apart.
        media = response.headers["content-type"][0].partition(";")[0]
        if not media.endswith("json"):
            return
        key = (path, method, response.status_code)
        if key not in self._known:
            answers = self._found["paths"][path][method.lower()]["responses"]
            schema = answers[str(response.status_code)]["content"][media]["schema"]
            self._known[key] = jsonschema_rs.validator_for(
                {**schema, "components": self._found["components"]}
            )
        self._known[key].validate(response.json())


def hold(document: Document, operation: Any, strategy: Any, count: int) -> set[int]:
    """The statuses that `count` requests of `strategy` got, each as it must be."""
    statuses: set[int] = set()

    @hypothesis.settings(
        max_examples=count, deadline=None, database=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.seed(20261121)
    @hypothesis.given(case=strategy)
    def ask(case: schemathesis.Case[Any]) -> None:
        # Made-up credentials are refused before anything else is looked at.
        if case.headers:
            case.headers.pop("Authorization", None)
        response = case.call(timeout=90)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)
        document.check(operation.path, operation.method, response)

    ask()
    return statuses


def test_every_answer_is_one_that_the_document_foretells() -> None:
    wrong: dict[str, str] = {}
    seen: dict[str, set[int]] = {}
    with a_running_gateway() as port:
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
        document = Document(port)
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            if operation.path == "/api/v1/stream/sse":
                continue  # it never ends
            try:
                seen[operation.label] = hold(
                    document, operation, operation.as_strategy(), EXAMPLES_MAX
                )
                for example in get_strategies_from_examples(operation):
                    seen[operation.label] |= hold(document, operation, example, 1)
            except FailureGroup as failures:
                wrong[operation.label] = "\n".join(map(str, failures.exceptions))
            except jsonschema_rs.ValidationError as error:
                wrong[operation.label] = str(error)
    assert not wrong, "\n\n".join(f"{name}: {why}" for name, why in wrong.items())
    well = [name for name, statuses in seen.items() if min(statuses) < 300]
    assert len(well) > len(seen) * 0.8, "too few requests were ever understood"
