"""The connections to a venue as the core sees them: which are open, and what they numbered."""

from enum import Enum, auto
from functools import lru_cache

from tickbus_feed.adapter import Adapter

OLD_MAX = 20
"""Old frames in a row; no venue repeats so many."""


class Place(Enum):
    """Where a numbered frame stands in its connection."""

    NEXT = auto()
    AFTER_GAP = auto()
    OLD = auto()


@lru_cache(maxsize=1_000)
def route_of(line: str) -> str:
    """The adapter's route that a line belongs to."""
    return line.partition("#")[0]


def place_streams(streams: dict[str, dict[str, None]], key: str, adapter: Adapter) -> list[str]:
    """A line of each route with room for the streams of `key`, which are added to `streams`."""
    lines = []
    for route, names in adapter.routes(key).items():
        place = 0
        while True:
            line = f"{route}#{place}" if place else route
            taken = streams.setdefault(line, {})
            if len(taken.keys() | set(names)) <= adapter.streams_max:
                break
            place += 1
        taken.update(dict.fromkeys(names))
        lines.append(line)
    return lines


class Links:
    """Open links per line. A line has two links only while one takes over from the other."""

    def __init__(self) -> None:
        self._heard: dict[str, dict[int, int]] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._old: dict[tuple[str, int], int] = {}

    def opened(self, line: str, link: int, now_ns: int) -> bool:
        """Note an open link; whether another one of its line was open already."""
        links = self._heard.setdefault(line, {})
        takes_over = bool(links) and link not in links
        links[link] = now_ns
        self._forget(line, link)
        return takes_over

    def closed(self, line: str, link: int) -> bool:
        """Note that a link is gone; whether another one of its line is open."""
        links = self._heard.get(line, {})
        links.pop(link, None)
        self._forget(line, link)
        return bool(links)

    def is_open_link(self, line: str, link: int) -> bool:
        """Whether this very link is open."""
        return link in self._heard.get(line, {})

    def is_stuck(self, line: str, link: int) -> bool:
        """Note an old frame; whether there were so many in a row that the numbers began anew."""
        key = (line, link)
        self._old[key] = self._old.get(key, 0) + 1
        if self._old[key] <= OLD_MAX:
            return False
        self._forget(line, link)
        return True

    def _forget(self, line: str, link: int) -> None:
        self._numbers.pop((line, link), None)
        self._old.pop((line, link), None)

    def is_open(self, line: str) -> bool:
        """Whether the line has a link."""
        return bool(self._heard.get(line))

    def heard(self, line: str, link: int, now_ns: int) -> None:
        """Note that a frame came."""
        links = self._heard.get(line)
        if links is not None and link in links:
            links[link] = now_ns

    def ts_heard(self, line: str, link: int) -> int:
        """When the last frame of a link came, ns UTC; 0 when it is not open."""
        return self._heard.get(line, {}).get(link, 0)

    def place(self, line: str, link: int, number: int) -> Place:
        """Where frame `number` stands; the first one that is seen begins the row."""
        last = self._numbers.get((line, link))
        if last is None or number == last + 1:
            return Place.NEXT
        return Place.OLD if number <= last else Place.AFTER_GAP

    def take(self, line: str, link: int, number: int) -> bool:
        """Go on to frame `number`; whether there was a gap before it."""
        gap = self.place(line, link, number) is Place.AFTER_GAP
        self._numbers[line, link] = number
        self._old.pop((line, link), None)
        return gap
