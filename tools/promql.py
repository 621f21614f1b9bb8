"""What a PromQL expression asks for: as much of the language as the rules and dashboards use."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<range>\[[^\]]*\])
    |(?P<duration>\d+(?:ms|[smhdwy])\b)
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<name>[a-zA-Z_:$][\w:$]*)
    |(?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},@])
    |(?P<space>\s+)""",
    re.VERBOSE,
)
_GROUPING = frozenset(("by", "without", "on", "ignoring", "group_left", "group_right"))
_WORDS = frozenset(("and", "or", "unless", "offset", "bool", "inf", "nan", "start", "end"))


class Matcher(NamedTuple):
    """`label` `sign` `value`, as in `state!="LIVE"`."""

    label: str
    sign: str
    value: str


class Selector(NamedTuple):
    """One choice of series; `name` is a pattern where it was asked for with `__name__=~`."""

    name: str
    matchers: tuple[Matcher, ...]


class Asked(NamedTuple):
    """All selectors of an expression, and the labels that it groups by."""

    selectors: tuple[Selector, ...]
    labels: frozenset[str]


def asked(expression: str) -> Asked:
    """What `expression` asks for. Raises ValueError for what is no PromQL."""
    tokens = list(_tokens(expression))
    selectors: list[Selector] = []
    labels: set[str] = set()
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and text in _GROUPING:
            end = at + 1
            if following == "(":
                end = _closing(tokens, at + 1, ")")
                labels |= {word for sort, word in tokens[at + 2 : end] if sort == "name"}
            at = end
        elif kind == "name" and following == "{" and text not in _WORDS:
            at = _closing(tokens, at + 1, "}")
            selectors.append(Selector(text, _matchers(tokens, at)))
        elif text == "{":
            at = _closing(tokens, at, "}")
            selectors.append(_unnamed(_matchers(tokens, at)))
        elif kind == "name" and not _is_word(text, following):
            selectors.append(Selector(text, ()))
        at += 1
    return Asked(tuple(selectors), frozenset(labels))


def labels_of_record(expression: str, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The labels that the result of `expression` has: those it is grouped by, else of its series.

    Grouped over the whole it has none; `known` are the labels of each series that is asked for.
    """
    found = asked(expression)
    outermost = re.match(
        r"\s*(?:histogram_quantile\([^,]+,\s*)?(sum|max|min|avg|count)\b", expression
    )
    if outermost or found.labels:
        return found.labels - {"le"}
    return frozenset().union(*(known.get(each.name, frozenset()) for each in found.selectors))


def _is_word(text: str, following: str) -> bool:
    """Whether a name is one of the language: a function, an operator, or sum in `sum by (…)`."""
    return following == "(" or following in _GROUPING or text.lower() in _WORDS


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"no PromQL at {expression[at : at + 20]!r} of {expression!r}")
        at = match.end()
        if match.lastgroup not in ("space", "range", "duration", "number"):
            yield str(match.lastgroup), match.group()


def _closing(tokens: list[tuple[str, str]], at: int, sign: str) -> int:
    for index in range(at, len(tokens)):
        if tokens[index][1] == sign:
            return index
    raise ValueError(f"no {sign} closes what is opened")


def _matchers(tokens: list[tuple[str, str]], end: int) -> tuple[Matcher, ...]:
    begin = max(index for index in range(end) if tokens[index][1] == "{")
    found, inside = [], [text for _, text in tokens[begin + 1 : end] if text != ","]
    if len(inside) % 3:
        raise ValueError(f"no matchers: {' '.join(inside)}")
    for label, sign, value in zip(inside[::3], inside[1::3], inside[2::3], strict=True):
        found.append(Matcher(label, sign, value[1:-1]))
    return tuple(found)


def _unnamed(matchers: tuple[Matcher, ...]) -> Selector:
    name = next((each.value for each in matchers if each.label == "__name__"), "")
    return Selector(name, tuple(each for each in matchers if each.label != "__name__"))
