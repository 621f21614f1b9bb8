"""Curves by range, sessions and refusals: what the gateway asks the books, and what it shows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from api_platform import NOW, Platform, a_platform

from tickbus import codec, ledger_api
from tickbus.events import EquityPoint, SessionStarted
from tickbus.ledger_api import (
    Answer,
    Curve,
    DenialRecord,
    DenialsAnswer,
    DenialsQuery,
    SeriesAnswer,
    SeriesQuery,
    SessionAnswer,
    SessionQuery,
    SessionRecord,
)
from tickbus_api.refusals import parts_of
from tickbus_api.series import Range, begin_of, zone_of

D = Decimal
SECOND = 1_000_000_000


def a_point(ts: int, net: str, fees: str | None = "1") -> EquityPoint:
    if fees is None:
        return EquityPoint(ts, D(1000) + D(net), D(net), D(0))
    made_of = (D(net) + D(fees), D(0), D(fees), D(0))
    return EquityPoint(ts, D(1000) + D(net), D(net), D(0), *made_of)


class Books:
    """A ledger that notes what it is asked."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.asked: list[msgspec.Struct] = []
        self.session: SessionRecord | None = None
        self.curves: tuple[Curve, ...] = ()
        self.recorded: list[SessionStarted] = []

    async def start(self) -> None:
        bus = self.platform.bus
        await bus.respond(ledger_api.SERIES, self._answering(SeriesQuery, self._series))
        await bus.respond(ledger_api.SESSION, self._answering(SessionQuery, self._session))
        await bus.respond(ledger_api.DENIALS, self._answering(DenialsQuery, self._denials))

    def _answering(
        self, kind: type[msgspec.Struct], answer: Callable[[], Answer]
    ) -> Callable[[bytes], Awaitable[bytes]]:
        async def respond(payload: bytes) -> bytes:
            self.asked.append(codec.decode_value(payload, kind))
            return codec.encode_value(answer())

        return respond

    def _series(self) -> SeriesAnswer:
        return SeriesAnswer(
            currency="USDT", since_ns=NOW - 60 * SECOND, until_ns=NOW, step_ns=SECOND,
            curves=self.curves, session=self.session,
        )  # fmt: skip

    def _session(self) -> SessionAnswer:
        # As the ledger: it has what the stream has.
        for event in self.platform.bus_events(SessionStarted):
            self.session = SessionRecord(
                sequence=1, ts_started=event.ts_recv, actor=event.actor, reason=event.reason
            )
        return SessionAnswer(session=self.session)

    def _denials(self) -> DenialsAnswer:
        refused = DenialRecord(
            sequence=7, ts_recv=NOW, client_order_id="pp-r-1", strategy_id="pp", venue="sim",
            instrument_id="BTC-USDT", reason="NOTIONAL_ABOVE_MAX",
            detail="limit=5 value=10 scope=strategy:pp", is_cancel=False,
            wish='{"quantity":"0.10"}',
        )  # fmt: skip
        return DenialsAnswer(denials=(refused,), next_cursor="7")


@pytest.fixture
async def books() -> AsyncIterator[Books]:
    async with a_platform() as platform:
        made = Books(platform)
        await made.start()
        yield made


async def get(books: Books, path: str) -> Any:
    answer = await books.platform.http.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_curve_tells_what_came_of_the_span(books: Books) -> None:
    books.curves = (
        Curve(
            strategy_id="", baseline=a_point(NOW - 60 * SECOND, "5.50"),
            points=(a_point(NOW - SECOND, "6"), a_point(NOW, "4.10", "2")),
        ),
    )  # fmt: skip
    body = await get(books, "portfolio/series?range=month&tz=Europe/Zurich&points=20")
    november = int(datetime.fromisoformat("2023-11-01T00:00:00+01:00").timestamp()) * SECOND
    assert books.asked == [SeriesQuery(since_ns=november, points=20)]
    assert (body["range"], body["timezone"], body["step_s"]) == ("month", "Europe/Zurich", 1)
    (curve,) = body["curves"]
    assert (curve["strategy"], curve["baseline"]["net_pnl"]) == (None, "5.50")
    assert curve["points"][1] == {
        "at": "2023-11-14T22:13:20.000000Z", "equity": "1004.10", "net_pnl": "4.10",
        "realized_pnl": "6.10", "unrealized_pnl": "0", "fees": "2", "funding": "0",
        "drawdown": "0",
    }  # fmt: skip
    assert (curve["change"]["net_pnl"], curve["change"]["fees"]) == ("-1.40", "1")
    assert body["session"] == {"since": None, "actor": "", "reason": ""}


async def test_first_span_of_all_has_earned_everything_but_its_capital(books: Books) -> None:
    points = (a_point(NOW - SECOND, "-1"), a_point(NOW, "3"))
    own_points = tuple(msgspec.structs.replace(each, equity=each.net_pnl) for each in points)
    books.curves = (
        Curve(strategy_id="", baseline=None, points=points),
        Curve(strategy_id="pp", baseline=None, points=own_points),
    )
    body = await get(books, "portfolio/series?range=all&by=strategy")
    assert books.asked == [SeriesQuery(by_strategy=True)]
    account, own = body["curves"]
    assert (account["change"]["net_pnl"], account["change"]["equity"]) == ("3", "4")
    assert (own["strategy"], own["baseline"]) == ("pp", None)
    # What is called equity of a strategy is its net P&L.
    assert (own["change"]["net_pnl"], own["change"]["equity"]) == ("3", "3")


async def test_what_older_points_do_not_say_is_null(books: Books) -> None:
    before, now = a_point(NOW - SECOND, "1", None), a_point(NOW, "3")
    books.curves = (Curve(strategy_id="", baseline=before, points=(now,)),)
    (curve,) = (await get(books, "portfolio/series"))["curves"]
    assert (curve["change"]["net_pnl"], curve["change"]["fees"]) == ("2", None)
    books.curves = (Curve(strategy_id="", baseline=None, points=()),)
    (curve,) = (await get(books, "portfolio/series"))["curves"]
    assert set(curve["change"].values()) == {None}


@pytest.mark.parametrize(
    ("wanted", "zone", "begin"),
    [
        (Range.TODAY, "UTC", "2023-11-14T00:00:00Z"),
        (Range.TODAY, "Asia/Tokyo", "2023-11-15T00:00:00+09:00"),
        (Range.MONTH, "America/New_York", "2023-11-01T00:00:00-04:00"),  # before the clocks changed
        (Range.YEAR, "Europe/Zurich", "2023-01-01T00:00:00+01:00"),
    ],
)
def test_days_months_and_years_are_those_of_the_zone(wanted: Range, zone: str, begin: str) -> None:
    expected = int(datetime.fromisoformat(begin).timestamp()) * SECOND
    assert begin_of(wanted, NOW, zone_of(zone)) == expected


def test_other_ranges_have_no_beginning_in_a_calendar() -> None:
    assert begin_of(Range.SESSION, NOW, zone_of("UTC")) == 0
    assert begin_of(Range.ALL, NOW, zone_of("UTC")) == 0


@pytest.mark.parametrize("zone", ["Nowhere", "../../etc/passwd", "Europe", "a\0b", "é", ""])
async def test_zone_that_is_none_is_refused(books: Books, zone: str) -> None:
    answer = await books.platform.http.get("/api/v1/portfolio/series", params={"tz": zone})
    assert (answer.status_code, answer.json()["field"]) == (422, "tz")
    assert "Europe/Zurich" in answer.json()["remedy"]


async def test_range_that_is_none_is_refused(books: Books) -> None:
    answer = await books.platform.http.get("/api/v1/portfolio/series?range=week")
    assert (answer.status_code, answer.json()["field"]) == (422, "range")


async def test_new_session_is_put_on_record(books: Books) -> None:
    assert (await get(books, "portfolio/session"))["since"] is None
    answer = await books.platform.http.post(
        "/api/v1/portfolio/session/clear", content='{"actor":"ann","reason":"a new day"}'
    )
    assert (answer.status_code, answer.json()) == (
        200, {"since": "2023-11-14T22:13:20.000000Z", "actor": "ann", "reason": "a new day"},
    )  # fmt: skip
    (event,) = books.platform.bus_events(SessionStarted)
    assert event == SessionStarted(NOW, NOW, "ann", "a new day")
    await get(books, "portfolio/series?range=session")
    assert books.asked[-1] == SeriesQuery(in_session=True)


async def test_session_needs_a_reason(books: Books) -> None:
    answer = await books.platform.http.post("/api/v1/portfolio/session/clear", content="{}")
    assert (answer.status_code, answer.json()["field"]) == (422, "reason")
    assert books.platform.bus_events(SessionStarted) == []


async def test_session_is_begun_although_the_books_are_away() -> None:
    async with a_platform() as platform:  # its ledger answers no question about sessions
        platform.hurry()
        answer = await platform.http.post(
            "/api/v1/portfolio/session/clear", content='{"reason":"a new day"}'
        )
        assert answer.status_code == 202
        await platform.bus.settle()
        assert len(platform.bus_events(SessionStarted)) == 1


async def test_refusals_show_the_limit_that_was_met(books: Books) -> None:
    body = await get(books, "risk/denials?strategy=pp&reason=notional_above_max&limit=1&cursor=9")
    assert books.asked == [
        DenialsQuery(strategy_id="pp", reason="NOTIONAL_ABOVE_MAX", limit=1, cursor="9")
    ]
    (denial,) = body["denials"]
    assert (denial["symbol"], denial["what"]) == ("BTCUSDT", "ORDER")
    assert (denial["limit"], denial["value"], denial["scope"]) == ("5", "10", "strategy:pp")
    assert (denial["wish"], body["next_cursor"]) == ({"quantity": "0.10"}, "7")


async def test_reason_that_is_none_is_refused(books: Books) -> None:
    answer = await books.platform.http.get("/api/v1/risk/denials?reason=NOTIONAL_ABOVE")
    assert (answer.status_code, answer.json()["field"]) == (422, "reason")
    assert "NOTIONAL_ABOVE_MAX" in answer.json()["remedy"]


@pytest.mark.parametrize(
    ("detail", "parts"),
    [
        ("limit=1 value=2", {"limit": "1", "value": "2"}),
        ("limit=bid and ask value=one side", {"limit": "bid and ask", "value": "one side"}),
        (
            "limit=0 value=5 scope=venue:sim asset=BTC",
            {"limit": "0", "value": "5", "scope": "venue:sim asset=BTC"},
        ),
        ("no parts at all", {}),
        ("", {}),
    ],
)
def test_parts_of_a_denial(detail: str, parts: dict[str, str]) -> None:
    assert parts_of(detail) == parts
