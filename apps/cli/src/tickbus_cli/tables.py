"""Lists for the eye: as many columns as there is room for, and never a row on two lines.

What does not fit is left out by how little it matters, or, where it is words, shortened; a number
or a time never is, for half of one is a wrong one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any, NamedTuple, Self

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

GAP = 2
"""Characters between two columns."""
SHORTEST = 12
"""Characters to which words may be shortened."""


class Written(str):
    """A number as it is to be shown; stands on the right like other numbers."""

    __slots__ = ()


class Rounded(Written):
    """Money for the eye: two digits, thousands apart."""

    __slots__ = ()

    def __new__(cls, value: Decimal) -> Self:
        """`value`, rounded."""
        return super().__new__(cls, f"{value:,.2f}")


class Listing(NamedTuple):
    """A table, how many characters wide it is, and the columns for which there was no room."""

    table: Table
    width: int
    left_out: list[str]


class _Column(NamedTuple):
    name: str
    cells: list[str]
    is_words: bool

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.name, *self.cells)))


def listing(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    brief: Sequence[str] = (),
    money: Sequence[str] = (),
    room: int | None = None,
) -> Listing:
    """`rows` in at most `room` characters, None for all columns.

    `brief` has the columns that matter most, the first before all others. Times lose their year
    where that is needed to show what is in `brief`. What is in `money` is rounded.
    """
    order = [*brief, *(name for name in columns if name not in brief)]
    made = _columns(columns, rows, money, with_year=True)
    if room is not None and _total([made[name].width for name in brief or columns]) > room:
        made = _columns(columns, rows, money, with_year=not _is_one_year(rows))
    # A column without a word in it matters least of all.
    order.sort(key=lambda name: not any(made[name].cells))
    widths = _fitting(made, order, room)
    table = Table(
        title=escape(title), title_justify="left", box=SIMPLE, show_edge=False, pad_edge=False,
        padding=(0, 0, 0, GAP - 1),
    )  # fmt: skip
    chosen = [made[name] for name in columns if name in widths]
    for column in chosen:
        table.add_column(
            escape(column.name), justify="left" if column.is_words else "right", no_wrap=True,
            overflow="ellipsis", width=widths[column.name],
        )  # fmt: skip
    for number in range(len(rows)):
        table.add_row(*(escape(column.cells[number]) for column in chosen))
    left_out = [name for name in columns if name not in widths and any(made[name].cells)]
    return Listing(table, _total(list(widths.values())), left_out)


def _fitting(made: Mapping[str, _Column], order: Sequence[str], room: int | None) -> dict[str, int]:
    """The width of each column that is shown; the first always is."""
    widths: dict[str, int] = {}
    for name in order:
        column = made[name]
        left = None if room is None else room - _total([*widths.values(), 0])
        if left is None or column.width <= left:
            widths[name] = column.width
        elif not widths:
            widths[name] = max(1, left)
        elif column.is_words and left >= max(SHORTEST, cell_len(name)):
            widths[name] = left
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _columns(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], money: Sequence[str], *, with_year: bool
) -> dict[str, _Column]:
    found = {}
    for n, name in enumerate(columns):
        values = [row[n] for row in rows]
        cells = [cell(value, rounds=name in money, with_year=with_year) for value in values]
        is_words = not any(isinstance(v, datetime) or is_number(v) for v in values)
        found[name] = _Column(name, cells, is_words)
    return found


def _is_one_year(rows: Sequence[Sequence[Any]]) -> bool:
    years = {v.astimezone(UTC).year for row in rows for v in row if isinstance(v, datetime)}
    return len(years) == 1


def cell(value: Any, *, rounds: bool = False, with_year: bool = True) -> str:
    """`value` for the eye, on one line."""
    match value:
        case None:
            return ""
        case Decimal() if rounds:
            return Rounded(value)
        case Decimal():
            return digits(value)
        case float():
            return f"{value:.10g}"
        case datetime():
            return value.astimezone(UTC).strftime(f"{'%Y-' if with_year else ''}%m-%d %H:%M:%S")
    return " ".join(str(value).split("\n"))


def digits(value: Decimal) -> str:
    """`value`, exact, but without the zeros at the end that venues like to write."""
    return format(value.normalize(Context(prec=60)), "f")


def is_number(value: Any) -> bool:
    """Whether `value` stands on the right."""
    return isinstance(value, Decimal | int | float | Written) and not isinstance(value, bool)
