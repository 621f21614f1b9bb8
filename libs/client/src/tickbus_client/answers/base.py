"""What every answer has in common: frozen, by name, and open to fields of newer gateways.

Market data are floats, as the venue wrote them; prices, quantities and money of ours are Decimal.
Times are datetimes in UTC, None for what never happened. Where only some values are possible the
answer has plain text all the same: a newer gateway may know more of them.
"""

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The base of every answer."""


class Page(Answer, frozen=True, kw_only=True):
    """One page of a list; `next_cursor` is None on the last."""

    next_cursor: str | None
