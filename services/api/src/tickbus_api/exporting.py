"""Lists as files: every row that matches, streamed page by page as CSV, JSON or Parquet.

The columns are the members of the JSON views, and exact numbers stay text in all three formats.
"""

import asyncio
import csv
import io
import json
import types
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Protocol

from fastapi import Query
from fastapi.responses import StreamingResponse

from tickbus_api.problems import Problem
from tickbus_api.views import View

ROWS_AT_ONCE = 500
"""Rows of one page: what is asked of the books at once, and held in memory."""


class Format(StrEnum):
    """What a file may be."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


MEDIA = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSON: "application/json",
    Format.PARQUET: "application/vnd.apache.parquet",
}
AsFile = Annotated[
    Format | None,
    Query(
        alias="format",
        description="every row that matches as one file, whatever `limit` and `cursor` say",
    ),
]
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            MEDIA[Format.PARQUET]: {"schema": {"type": "string", "format": "binary"}},
        }
    },
    501: {"description": "PARQUET_NOT_INSTALLED: the gateway has no pyarrow"},
}
"""`responses` of a route that gives files, too."""

Page = tuple[Sequence[View], str]
"""Rows, and the cursor of the next page; "" on the last."""


class Writer(Protocol):
    """Makes a file, part by part."""

    names: Sequence[str]
    """Of the columns."""

    def rows(self, found: Sequence[dict[str, Any]]) -> bytes:
        """The next part."""
        ...

    def end(self) -> bytes:
        """The last part."""
        ...


async def as_file(
    wanted: Format,
    name: str,
    kind: type[View],
    page: Callable[[str], Awaitable[Page]],
    without: Sequence[str] = (),
) -> StreamingResponse:
    """All rows of `page` (asked for by cursor), of the type `kind`, some members left out.

    Raises Problem.

    What goes wrong behind the first page breaks the answer off: no file ends early in silence.
    """
    writer = _WRITERS[wanted](kind, [each for each in kind.model_fields if each not in without])
    first = await page("")
    return StreamingResponse(
        _parts(writer, first, page),
        media_type=MEDIA[wanted],
        headers={"Content-Disposition": f'attachment; filename="{name}.{wanted}"'},
    )


async def _parts(
    writer: Writer, found: Page, page: Callable[[str], Awaitable[Page]]
) -> AsyncIterator[bytes]:
    while True:
        rows, cursor = found
        # Not in the loop that orders wait for: it is long for a loop, and short for a thread.
        yield await asyncio.to_thread(_written, writer, rows)
        if not cursor:
            break
        found = await page(cursor)
        if found[1] == cursor:
            raise RuntimeError(f"a list without an end: {cursor!r} leads to itself")
    yield await asyncio.to_thread(writer.end)


def _written(writer: Writer, rows: Sequence[View]) -> bytes:
    names = set(writer.names)
    return writer.rows([row.model_dump(mode="json", include=names) for row in rows])


class _Csv:
    def __init__(self, _: type[View], names: Sequence[str]) -> None:
        self.names = names
        self._is_begun = False

    def rows(self, found: Sequence[dict[str, Any]]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text)
        if not self._is_begun:
            self._is_begun = True
            writer.writerow(self.names)
        for row in found:
            writer.writerow([_cell(row[name]) for name in self.names])
        return text.getvalue().encode()

    def end(self) -> bytes:
        return b""


class _Json:
    def __init__(self, _: type[View], names: Sequence[str]) -> None:
        self.names = names
        self._before = b"[\n"

    def rows(self, found: Sequence[dict[str, Any]]) -> bytes:
        lines = b",\n".join(json.dumps(row, ensure_ascii=False).encode() for row in found)
        part = self._before + lines if lines else b""
        if lines:
            self._before = b",\n"
        return part

    def end(self) -> bytes:
        return b"[]\n" if self._before == b"[\n" else b"\n]\n"


class _Sink(io.RawIOBase):
    """A file that hands on what is written to it, and keeps nothing."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._count += len(part)
        return len(part)

    def tell(self) -> int:
        return self._count

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _Parquet:
    def __init__(self, kind: type[View], names: Sequence[str]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise Problem(
                HTTPStatus.NOT_IMPLEMENTED,
                "PARQUET_NOT_INSTALLED",
                "the gateway cannot write Parquet: it runs without the package pyarrow",
                field="format",
                value=Format.PARQUET,
                remedy="install pyarrow beside the gateway, or ask for csv or json",
            ) from error
        self._arrow = pyarrow
        self.names = names
        self._schema = pyarrow.schema(list(_columns(kind, names, pyarrow)))
        self._sink = _Sink()
        self._writer = pyarrow.parquet.ParquetWriter(self._sink, self._schema)

    def rows(self, found: Sequence[dict[str, Any]]) -> bytes:
        columns = {
            field.name: [self._value(field, row[field.name]) for row in found]
            for field in self._schema
        }
        self._writer.write_table(self._arrow.table(columns, self._schema))
        return self._sink.take()

    def _value(self, field: Any, value: Any) -> Any:
        return _cell(value) if self._arrow.types.is_string(field.type) else value

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


_WRITERS: dict[Format, Callable[[type[View], Sequence[str]], Writer]] = {
    Format.CSV: _Csv,
    Format.JSON: _Json,
    Format.PARQUET: _Parquet,
}


def _columns(kind: type[View], names: Sequence[str], arrow: Any) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(kind)
    types_of = {int: arrow.int64(), bool: arrow.bool_(), float: arrow.float64()}
    for name in names:
        hint = hints[name]
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            hint = next(each for each in typing.get_args(hint) if each is not type(None))
        yield name, types_of.get(hint, arrow.string())


def _cell(value: Any) -> Any:
    # What is no single value is JSON within its cell.
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)
