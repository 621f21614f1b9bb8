"""The names of topics, and how each is told."""

import re
from http import HTTPStatus
from typing import NamedTuple

from tickbus_api.parsing import nearest
from tickbus_api.problems import Problem, shown
from tickbus_api.streaming.core import Terms

TOPIC_LENGTH_MAX = 200
_MARKET = "<instrument>@<venue>"


_CANDLES = f"{_MARKET}:<interval>"
_ONE = r"([^@:\s]+)"
_SHAPES = {
    "<level>": _ONE,
    "<instrument>": _ONE,
    _MARKET: f"{_ONE}@{_ONE}",
    _CANDLES: f"{_ONE}@{_ONE}:{_ONE}",
}


class Kind(NamedTuple):
    """A family of topics; `shape` is what stands behind the colon, "" for nothing."""

    terms: Terms
    shape: str = ""
    is_optional: bool = False
    """Whether the shape may be left out, with its colon."""


KINDS = {
    "prices": Kind(Terms(kept=8)),
    "depth": Kind(Terms(kept=8), _MARKET),
    "consolidated": Kind(Terms(), "<instrument>"),
    "trades": Kind(Terms(kept=100), _MARKET),
    "candles": Kind(Terms(kept=8), _CANDLES),
    "orders": Kind(Terms(every_ms=0, kept=1_000, resumes=True)),
    "fills": Kind(Terms(every_ms=0, kept=1_000, resumes=True)),
    "decisions": Kind(Terms(kept=1_000, resumes=True)),
    "logs": Kind(Terms(every_ms=500, kept=1_000, resumes=True), "<level>", is_optional=True),
    "alerts": Kind(Terms(kept=100)),
    "portfolio": Kind(Terms()),
    "risk": Kind(Terms()),
    "strategies": Kind(Terms()),
    "status": Kind(Terms()),
}
"""Every family; docs/streaming.md says what is in each."""


class Topic(NamedTuple):
    """A topic's name taken apart; what it does not have is ""."""

    name: str
    instrument_id: str = ""
    venue: str = ""
    interval: str = ""
    level: str = ""

    def __str__(self) -> str:
        market = self.instrument_id + (f"@{self.venue}" if self.venue else "")
        parts = (self.name, market, self.interval, self.level)
        return ":".join(part for part in parts if part)


def parse(text: str) -> Topic:
    """`prices`, or `depth:BTC-USDT@binance`. Raises Problem."""
    name, colon, argument = text.partition(":")
    kind = KINDS.get(name)
    if kind is None or len(text) > TOPIC_LENGTH_MAX:
        near = nearest(name[:TOPIC_LENGTH_MAX], list(KINDS), 1)
        known = ", ".join(KINDS)
        remedy = f"did you mean {near[0]!r}?" if near else f"known are {known}"
        raise refused(text, "there is no such topic", remedy)
    if not kind.shape or (kind.is_optional and not colon):
        if colon:
            raise refused(text, f"{name} takes nothing behind it", f"subscribe to {name!r}")
        return Topic(name)
    found = re.fullmatch(_SHAPES[kind.shape], argument)
    if found is None:
        raise refused(text, f"it must be {name}:{kind.shape}", f"for example {_example(name)}")
    return Topic(name, level=argument) if name == "logs" else Topic(name, *found.groups())


def is_resumable(text: str) -> bool:
    """Whether each step of this topic counts."""
    return KINDS[text.partition(":")[0]].terms.resumes


def refused(topic: str, detail: str, remedy: str) -> Problem:
    """A topic that cannot be subscribed to."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "UNKNOWN_TOPIC",
        f"topic {shown(topic)!r}: {detail}",
        field="topic",
        value=topic,
        remedy=remedy,
    )


def _example(name: str) -> str:
    examples = {
        "<instrument>": "BTC-USDT",
        "<venue>": "sim",
        "<interval>": "1m",
        "<level>": "error",
    }
    shape = KINDS[name].shape
    for part, example in examples.items():
        shape = shape.replace(part, example)
    return f"{name}:{shape}"
