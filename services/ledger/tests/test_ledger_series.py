"""Curves over a span, sessions and refusals, asked of a real Postgres."""

from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
import pytest
from ledger_story import D, S, a_core, a_day, a_fill, a_top, an_empty_database, an_opening, an_order

from tickbus import codec, ledger_api
from tickbus.events import (
    CancelDenied,
    CancelOrder,
    DenialReason,
    OrderDenied,
    SessionStarted,
    TimerFired,
)
from tickbus.ledger_api import (
    Answer,
    DenialsAnswer,
    DenialsQuery,
    LedgerRefusal,
    SeriesAnswer,
    SeriesQuery,
    SessionAnswer,
    SessionQuery,
)
from tickbus_ledger.audit import verify
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.queries import Queries
from tickbus_ledger.rows import batch_of
from tickbus_ledger.store import Store

A = TypeVar("A", bound=Answer)

pytestmark = pytest.mark.usefixtures("patient_books")


class Books:
    """A ledger's core and database, without the stream between them."""

    def __init__(self, dsn: str, store: Store, core: LedgerCore) -> None:
        self.dsn, self.store, self.core = dsn, store, core
        self._responders = Queries(core, lambda: store, "USDT").responders()

    async def ask(self, subject: str, query: msgspec.Struct, kind: type[A]) -> A:
        payload = await self._responders[subject](codec.encode_value(query))
        answer = codec.decode_value(payload, kind | LedgerRefusal)  # type: ignore[arg-type]
        assert isinstance(answer, kind), answer
        return answer

    async def series(self, query: SeriesQuery) -> SeriesAnswer:
        return await self.ask(ledger_api.SERIES, query, SeriesAnswer)

    async def write(self) -> None:
        await self.store.write(batch_of(self.core.take_changes()))

    def at(self, seconds: int, price: float) -> None:
        """The market is there, and the timer fires."""
        self.core.handle(a_top(price, ts=seconds * S))
        self.core.handle(TimerFired(seconds * S, seconds * S, "portfolio"))


@pytest.fixture
async def books(postgres_dsn: str) -> AsyncIterator[Books]:
    dsn = await an_empty_database(postgres_dsn)
    store = await Store.open(dsn)
    await store.claim("simulated", "sim")
    core = a_core()
    core.load(await store.load())
    yield Books(dsn, store, core)
    await store.close()


async def bought(books: Books) -> None:
    """One coin bought for 100 with a fee of 1, the market watched at 10, 20, 30 and 40 s."""
    books.core.fold(1, an_opening(USDT="10000", BTC="0"))
    books.core.fold(2, a_fill(1, price="100", fee="1"))
    for ts, price in ((10, 100.0), (20, 130.0), (30, 90.0), (40, 110.0)):
        books.at(ts, price)
    await books.write()


async def test_curve_has_what_its_profit_is_made_of(books: Books) -> None:
    await bought(books)
    answer = await books.series(SeriesQuery())
    assert (answer.currency, answer.session) == ("USDT", None)
    (curve,) = answer.curves
    assert (curve.strategy_id, curve.baseline) == ("", None)
    assert [(p.ts // S, p.equity, p.unrealized_pnl, p.fees) for p in curve.points] == [
        (10, D(9_999), D(0), D(1)),
        (20, D(10_029), D(30), D(1)),
        (30, D(9_989), D(-10), D(1)),
        (40, D(10_009), D(10), D(1)),
    ]
    assert curve.points[2].drawdown == D(40)


async def test_span_is_measured_from_the_point_before_it(books: Books) -> None:
    await bought(books)
    answer = await books.series(SeriesQuery(since_ns=20 * S, until_ns=39 * S))
    (curve,) = answer.curves
    assert curve.baseline is not None
    assert (curve.baseline.ts, curve.baseline.net_pnl) == (20 * S, D(29))
    assert [point.ts for point in curve.points] == [30 * S]


async def test_each_step_of_a_long_span_has_its_last_point(books: Books) -> None:
    books.core.fold(1, an_opening(USDT="10000", BTC="0"))
    for ts in range(10, 1010, 10):
        books.at(ts, 100.0)
    await books.write()
    answer = await books.series(SeriesQuery(since_ns=9 * S, until_ns=1009 * S, points=10))
    (curve,) = answer.curves
    assert (answer.step_ns, len(curve.points)) == (100 * S, 10)
    assert [point.ts // S for point in curve.points[:2]] == [100, 200]


async def test_newest_point_is_what_the_books_say_now(books: Books) -> None:
    await bought(books)
    books.core.handle(a_top(200.0, ts=41 * S))  # no sample of it is due yet
    (curve,) = (await books.series(SeriesQuery())).curves
    assert (curve.points[-1].ts, curve.points[-1].equity) == (41 * S, D(10_099))


async def test_every_strategy_has_its_curve(books: Books) -> None:
    await bought(books)
    books.core.fold(3, a_fill(2, "SELL", price="110", strategy="mm", ts=41 * S))
    books.at(50, 110.0)
    await books.write()
    answer = await books.series(SeriesQuery(by_strategy=True))
    assert [curve.strategy_id for curve in answer.curves] == ["mm", "pp"]
    assert [point.ts // S for point in answer.curves[0].points] == [50]
    assert [point.net_pnl for point in answer.curves[1].points] == [-1, 29, -11, 9, 9]
    assert await books.store.history.strategies() == ["mm", "pp"]


async def test_books_without_a_point_have_an_empty_curve(books: Books) -> None:
    (curve,) = (await books.series(SeriesQuery())).curves
    assert (curve.points, curve.baseline) == ((), None)
    assert (await books.series(SeriesQuery(by_strategy=True))).curves == ()
    assert (await books.series(SeriesQuery(in_session=True))).session is None


async def test_session_is_measured_from_where_it_began(books: Books) -> None:
    await bought(books)
    books.core.handle(a_top(150.0, ts=43 * S))
    books.core.fold(3, SessionStarted(44 * S, 44 * S, "ann", "lunch is over"))
    books.at(50, 160.0)
    await books.write()
    answer = await books.series(SeriesQuery(in_session=True))
    (curve,) = answer.curves
    assert (answer.since_ns, answer.session) == (44 * S, await books.store.history.session())
    assert answer.session is not None
    assert (answer.session.actor, answer.session.reason) == ("ann", "lunch is over")
    assert curve.baseline is not None
    assert (curve.baseline.ts, curve.baseline.equity) == (44 * S, D(10_049))
    assert [(point.ts, point.equity) for point in curve.points] == [(50 * S, D(10_059))]
    (whole,) = (await books.series(SeriesQuery())).curves
    assert whole.points[0].ts == 10 * S  # nothing was deleted
    assert (await verify(books.dsn)).findings == []


async def test_span_that_begins_after_the_last_event_is_empty_and_not_refused(
    books: Books,
) -> None:
    await bought(books)
    # A day that has begun by the clock, before the market said anything in it.
    answer = await books.series(SeriesQuery(since_ns=60 * S))
    (curve,) = answer.curves
    assert (answer.since_ns, answer.until_ns, curve.points) == (60 * S, 60 * S, ())
    assert curve.baseline is not None
    assert curve.baseline.ts == 40 * S


async def test_session_that_is_on(books: Books) -> None:
    answer = await books.ask(ledger_api.SESSION, SessionQuery(), SessionAnswer)
    assert answer.session is None
    for sequence, reason in ((1, "first"), (2, "second")):
        books.core.fold(sequence, SessionStarted(S, sequence * S, "ann", reason))
    await books.write()
    answer = await books.ask(ledger_api.SESSION, SessionQuery(), SessionAnswer)
    assert answer.session is not None
    assert (answer.session.sequence, answer.session.reason) == (2, "second")


async def test_series_that_cannot_be_is_refused(books: Books) -> None:
    for query, why in (
        (SeriesQuery(since_ns=2 * S, until_ns=S), "before since"),
        (SeriesQuery(points=1), "points = 1"),
    ):
        with pytest.raises(AssertionError, match=why):
            await books.series(query)


async def test_refusals_of_orders_and_cancels_are_listed(books: Books) -> None:
    odd = msgspec.structs.replace(an_order(3, "mm"), inputs={"why": "\0"})
    cancel = CancelOrder(5 * S, 5 * S, "c1", "pp-r-1", "mm", "sim", "BTC-USDT")
    for sequence, event in enumerate(
        (
            OrderDenied(2 * S, 2 * S, an_order(1), DenialReason.NOTIONAL_ABOVE_MAX, "limit=5"),
            OrderDenied(3 * S, 3 * S, odd, DenialReason.QUANTITY_BELOW_MIN, "limit=1 value=0.5"),
            an_order(9),
            CancelDenied(5 * S, 5 * S, cancel, DenialReason.CANCEL_NOT_OWNER, "limit=pp value=mm"),
        ),
        start=1,
    ):
        books.core.fold(sequence, event)
    await books.write()

    async def asked(**query: str | int) -> tuple[list[int], str]:
        question = DenialsQuery(**query)  # type: ignore[arg-type]
        answer = await books.ask(ledger_api.DENIALS, question, DenialsAnswer)
        return [denial.sequence for denial in answer.denials], answer.next_cursor

    assert await asked() == ([4, 2, 1], "")
    assert await asked(limit=2) == ([4, 2], "2")
    assert await asked(limit=2, cursor="2") == ([1], "")
    assert await asked(strategy_id="mm") == ([4, 2], "")
    assert await asked(reason="NOTIONAL_ABOVE_MAX") == ([1], "")
    assert await asked(since_ns=3 * S, until_ns=4 * S) == ([2], "")
    answer = await books.ask(ledger_api.DENIALS, DenialsQuery(), DenialsAnswer)
    of_cancel, of_order = answer.denials[0], answer.denials[1]
    assert (of_cancel.is_cancel, of_cancel.reason) == (True, "CANCEL_NOT_OWNER")
    assert (of_order.client_order_id, of_order.detail) == ("mm-r-3", "limit=1 value=0.5")
    assert msgspec.json.decode(of_order.wish)["quantity"] == "1"


async def test_lists_are_paged_by_their_indexes(books: Books) -> None:
    for sequence, event in enumerate(a_day(), start=1):
        books.core.fold(sequence, event)
    await books.write()
    pool = books.store.history._pool
    for table, where, index in (
        ("order_events", "kind = 'OrderFilled'", "order_events_by_kind"),
        ("order_events", "kind IN ('OrderDenied', 'CancelDenied')", "order_events_denied"),
        ("orders", "strategy_id = 'pp'", "orders_by_strategy"),
        ("fills", "instrument_id = 'BTC-USDT'", "fills_by_instrument"),
    ):
        async with pool.acquire() as connection:
            await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
            plan = await connection.fetch(
                f"EXPLAIN SELECT * FROM {table} WHERE {where} ORDER BY sequence DESC LIMIT 5"
            )
        text = "\n".join(row[0] for row in plan)
        assert index in text, text
        assert "Sort" not in text, text
