"""Tables: they fit the terminal, no row takes two lines, and no number is ever cut."""

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tickbus_cli import fills, orders, showing, tables

D = Decimal
AT = datetime(2026, 11, 22, 8, 31, 23, 5, UTC)
ORDERS = [
    (AT, "ping-pong-mwrku1ue-118", "ping-pong", "sim", "BTC-USDT", "SELL", "LIMIT", D("0.00166"),
     D("60090.95"), None, "OPEN", D(0), None, ""),
    (AT, "momentum-mwrku1ue-2", "momentum", "sim", "ETH-USDT", "BUY", "MARKET", D("0.0773"), None,
     None, "FILLED", D("0.0773"), D("2584.91"), ""),
]  # fmt: skip
FILLS = [
    (AT, "3035", "ping-pong-mwrku1ue-145", "ping-pong", "sim", "BTC-USDT", "BUY", D("0.00169"),
     D("59124.87"), D("0.00000169"), "BTC", None, "TAKER"),
]  # fmt: skip


def drawn(made: tables.Listing) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=max(20, made.width), color_system=None).print(made.table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def shown(made: tables.Listing) -> list[str]:
    return [str(column.header) for column in made.table.columns]


def test_orders_at_80_columns_have_all_that_matters_and_no_row_on_two_lines() -> None:
    made = tables.listing("orders", orders.COLUMNS, ORDERS, orders.BRIEF, room=80)
    assert drawn(made)[1:] == [
        "order                   instrument  side  quantity     price  state   filled",
        "────────────────────────────────────────────────────────────────────────────",
        "ping-pong-mwrku1ue-118  BTC-USDT    SELL   0.00166  60090.95  OPEN         0",
        "momentum-mwrku1ue-2     ETH-USDT    BUY     0.0773            FILLED  0.0773",
    ]
    assert made.left_out == ["time", "strategy", "venue", "type", "avg_price"]


def test_fills_at_80_columns_give_up_the_year_and_what_matters_least() -> None:
    made = tables.listing("fills", fills.COLUMNS, FILLS, fills.BRIEF, room=80)
    assert shown(made) == ["time", "order", "instrument", "side", "quantity", "price"]
    assert drawn(made)[3].startswith("11-22 08:31:23  ping-pong-mwrku1ue-145  BTC-USDT")


@pytest.mark.parametrize("room", [170, None])
def test_where_there_is_room_everything_is_shown(room: int | None) -> None:
    made = tables.listing("orders", orders.COLUMNS, ORDERS, orders.BRIEF, room=room)
    assert (shown(made), made.left_out) == (list(orders.COLUMNS), [])
    assert "2026-11-22 08:31:23" in drawn(made)[3]


def test_the_year_is_left_out_only_where_all_are_of_one() -> None:
    rows = [(AT, "x" * 20), (AT.replace(year=2025), "y")]
    made = tables.listing("", ("at", "what"), rows, room=30)
    assert drawn(made)[-1].startswith("2025-11-22")


def test_words_are_shortened_and_numbers_never() -> None:
    rows = [("k1", "read trade strategies risk admin", D("123456789.123456789"))]
    made = tables.listing("", ("id", "scopes", "limit"), rows, ("id", "scopes"), room=30)
    assert drawn(made)[-1] == "k1  read trade strategies ris…"
    made = tables.listing("", ("id", "scopes", "limit"), rows, ("id", "limit"), room=30)
    assert drawn(made)[-1] == "k1  123456789.123456789"


SCOPES = (
    ("scope", "state", "gross exposure", "daily loss", "reason"),
    [("strategy:ping-pong", "ACTIVE", tables.Rounded(D("12345.678")), tables.Rounded(D(5)),
      "never set, and that for a long time")],
)  # fmt: skip


@pytest.mark.parametrize("width", [20, 40, 50, 66])
def test_table_of_texts_folds_words_and_neither_numbers_nor_what_it_is_about(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    showing.draw(showing.table(*SCOPES))
    said = capsys.readouterr().out
    for whole in ("strategy:ping-pong", "12,345.68", "5.00", "exposure", "long"):
        assert whole in said
    assert len(said.splitlines()) > 2, "it is folded"


def test_table_that_goes_elsewhere_has_each_row_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    showing.draw(showing.table(*SCOPES), "said [so]")
    head, row, said = capsys.readouterr().out.splitlines()
    assert head.split() == ["scope", "state", "gross", "exposure", "daily", "loss", "reason"]
    assert row.endswith("5.00  never set, and that for a long time")
    assert said == "said [so]"


CELLS = st.one_of(
    st.none(), st.decimals(allow_nan=False, allow_infinity=False, places=8), st.integers(),
    st.text(max_size=40), st.just(AT),
)  # fmt: skip


@given(
    rows=st.lists(st.tuples(*[CELLS] * 4), max_size=5),
    room=st.integers(min_value=1, max_value=120),
    brief=st.permutations("abcd"),
)
def test_whatever_the_rows_they_fit(rows: list[Any], room: int, brief: list[str]) -> None:
    made = tables.listing("t", tuple("abcd"), rows, brief[:2], room=room)
    assert made.width <= room
    assert len(made.table.rows) == len(rows)
    assert brief[0] in shown(made) or not any(
        tables.cell(row["abcd".index(brief[0])]) for row in rows
    )
    assert set(made.left_out).isdisjoint(shown(made))
