"""One line to a venue: a connection with its subscriptions, made again or renewed as needed."""

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from websockets.exceptions import WebSocketException

from tickbus.backoff import delays_s
from tickbus.clock import Clock
from tickbus.events import Event
from tickbus.websocket import FrameStream
from tickbus_feed.adapter import Adapter
from tickbus_feed.config import FeedConfig
from tickbus_feed.links import route_of
from tickbus_feed.recorder import Recorder
from tickbus_feed.venue import VenueConnected, VenueDisconnected, VenueFrame

CONNECT_TIMEOUT_S = 10.0
CLOSE_S = 2.0
LIVED_LONG_S = 60.0
ASKED_S = 15.0
ASKED_LOOK_S = 0.05
RENEW_AT = 0.95
"""The part of a connection's life after which another one takes over."""

log = logging.getLogger("tickbus.feed")


@dataclass
class Wiring:
    """What all lines of a venue share; `put` gives events to the core, in line with the frames."""

    venue: str
    ws_url: str
    adapter: Adapter
    config: FeedConfig
    clock: Clock
    put: Callable[[list[Event]], None]
    count: Callable[[str], None]
    recorder: Recorder | None = None
    links: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    requests: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))


class Link:
    """One connection of a line."""

    def __init__(self, line: str, wiring: Wiring) -> None:
        self.number = next(wiring.links)
        self.stream: FrameStream | None = None
        self.subscribed = asyncio.Event()
        self.asked: set[str] = set()
        """The streams that were asked for."""
        self._line = line
        self._wiring = wiring
        self._told_at = time.monotonic()
        self._began = time.monotonic()
        self._speaking = asyncio.Lock()
        self._conn = f"{wiring.venue}.{line}.{self.number}"

    @property
    def lived_s(self) -> float:
        """How long ago it was begun."""
        return time.monotonic() - self._began

    async def run(self, names: Callable[[], Sequence[str]]) -> str:
        """Connect, subscribe to what is wanted then, and serve to the end; why it ended."""
        wiring = self._wiring
        url = wiring.adapter.url(wiring.ws_url, route_of(self._line))
        try:
            self.stream = await FrameStream.connect(
                url, self._on_messages, timeout_s=CONNECT_TIMEOUT_S
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            return (
                f"no stream at {url}: {str(error) or type(error).__name__}; is the venue up, and"
                " venue.ws_url right?"
            )
        now = wiring.clock.now_ns()
        if wiring.recorder is not None:
            wiring.recorder.connected(now, self._conn, url)
        pinging = asyncio.create_task(self._ping())
        reason = "cut"
        try:
            wiring.put([VenueConnected(now, now, self._line, self.number)])
            await self.request(list(names()))
            self.subscribed.set()
            reason = await self._until_closed(self.stream)
        except WebSocketException as error:
            reason = f"{url}: {error}"
        finally:
            pinging.cancel()
            self.stream.abort()
            if wiring.recorder is not None:
                wiring.recorder.disconnected(wiring.clock.now_ns(), self._conn, reason)
        return reason

    def _on_messages(self, messages: list[bytes]) -> None:
        now = self._wiring.clock.now_ns()
        self._told_at = time.monotonic()
        recorder = self._wiring.recorder
        if recorder is not None:
            for message in messages:
                recorder.received(now, self._conn, message)
        line, number = self._line, self.number
        self._wiring.put([VenueFrame(now, now, message, line, number) for message in messages])

    async def request(self, names: Sequence[str], *, begin: bool = True) -> None:
        """Ask for streams, or give them up, no faster than the venue takes it."""
        adapter = self._wiring.adapter
        for first in range(0, len(names), adapter.batch_max):
            batch = names[first : first + adapter.batch_max]
            number = next(self._wiring.requests)
            said = True
            for frame in adapter.subscription(batch, number, begin=begin):
                said = await self._say(frame) and said
            if not said:
                return  # there is no connection yet; all that is wanted then is asked for then
            if begin:
                self.asked.update(batch)
            else:
                self.asked.difference_update(batch)

    async def _say(self, frame: bytes) -> bool:
        async with self._speaking:
            stream = self.stream
            if stream is None:
                return False
            stream.send(frame.decode())
            if self._wiring.recorder is not None:
                self._wiring.recorder.sent(self._wiring.clock.now_ns(), self._conn, frame)
            await asyncio.sleep(self._wiring.adapter.pause_s)
            return True

    async def _ping(self) -> None:
        adapter, stream = self._wiring.adapter, self.stream
        assert stream is not None
        every_s = min(adapter.ping_every_s, self._wiring.config.first_event_s / 3)
        with contextlib.suppress(WebSocketException):
            while True:
                await asyncio.sleep(every_s)
                if adapter.ping:
                    await self._say(adapter.ping)
                else:
                    stream.ping()  # its answer tells a quiet market from a dead connection

    async def _until_closed(self, stream: FrameStream) -> str:
        limit = self._wiring.config.first_event_s
        talks = self._wiring.adapter.always_talks(route_of(self._line))
        while True:
            done, _ = await asyncio.wait([stream.closed], timeout=1.0)
            if done:
                return f"the stream was {stream.closed.result()}"
            silent = time.monotonic() - (self._told_at if talks else stream.heard_at)
            if silent > limit:
                return f"the stream was silent for {silent:.0f} s"

    def abort(self) -> None:
        """End it now; `run` then returns."""
        if self.stream is not None:
            self.stream.abort()


class Line:
    """Keeps one connection open, and two while one takes over from the other."""

    def __init__(self, name: str, wiring: Wiring, names: Callable[[], Sequence[str]]) -> None:
        self.name = name
        self._wiring = wiring
        self._names = names
        self._renew = asyncio.Event()
        self._links: list[Link] = []
        self._lives: set[asyncio.Task[str]] = set()
        self._closing = False
        self.reason = ""
        """Why there is no connection, while there is none."""

    @property
    def streams(self) -> list[FrameStream]:
        """The open connections."""
        return [link.stream for link in self._links if link.stream is not None]

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._keep()
        finally:
            for link in self._links:
                link.abort()

    async def _keep(self) -> None:
        delays = delays_s(0.5, 30.0)
        link, life = self._begin()
        while True:
            lifetime_s = self._wiring.adapter.lifetime_s * (RENEW_AT - random.random() * 0.05)
            due = max(0.0, lifetime_s - link.lived_s) if lifetime_s else None
            waking = asyncio.create_task(self._renew.wait())
            await asyncio.wait({life, waking}, timeout=due, return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
            if not life.done():
                link, life = await self._hand_over(link, life)
                continue
            if self._closing:
                return
            self.reason = life.result()
            self._ended(link, self.reason)
            self._wiring.count("disconnected")
            if link.lived_s > LIVED_LONG_S:
                delays = delays_s(0.5, 30.0)
            delay_s = next(delays)
            log.warning("%s; again in %.1f s", self.reason, delay_s)
            await asyncio.sleep(delay_s)
            link, life = self._begin()

    def _begin(self) -> tuple[Link, asyncio.Task[str]]:
        link = Link(self.name, self._wiring)
        self._links.append(link)
        life = asyncio.create_task(link.run(self._names))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        return link, life

    def _ended(self, link: Link, reason: str) -> None:
        self._links.remove(link)
        now = self._wiring.clock.now_ns()
        self._wiring.put([VenueDisconnected(now, now, reason, self.name, link.number)])

    async def _hand_over(
        self, old: Link, old_life: asyncio.Task[str]
    ) -> tuple[Link, asyncio.Task[str]]:
        """Make another connection before the old one is given up; the old one where that fails."""
        self._renew.clear()
        log.info("renewing the connection %s", self.name or "to the venue")
        self._wiring.count("renewed")
        new, life = self._begin()
        ready = asyncio.create_task(new.subscribed.wait())
        await asyncio.wait({life, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if life.done():
            return await self._stay(new, life.result(), old, old_life)
        # Both deliver for a while: what is on its way over the old one still comes.
        await asyncio.wait(
            {life, old_life},
            timeout=self._wiring.config.overlap_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if life.done():
            return await self._stay(new, life.result(), old, old_life)
        old.abort()
        await old_life
        self._ended(old, "another connection took over")
        return new, life

    async def _stay(
        self, new: Link, reason: str, old: Link, old_life: asyncio.Task[str]
    ) -> tuple[Link, asyncio.Task[str]]:
        """Go on with the old connection; another one is tried after a while, while it lives."""
        log.warning("no other connection could be made: %s", reason)
        self._ended(new, reason)
        await asyncio.wait({old_life}, timeout=next(delays_s(5.0, 30.0)))
        if not old_life.done():
            self._renew.set()
        return old, old_life

    def renew(self, link: int) -> None:
        """Take over from connection `link`, if it still is the newest."""
        if self._links and self._links[-1].number == link:
            self._renew.set()

    def give_up(self, reason: str) -> None:
        """Cut what is open; it is made again."""
        log.warning("giving the connection up: %s", reason)
        for link in self._links:
            link.abort()

    async def resubscribe(self, names: Sequence[str]) -> None:
        """Ask for streams anew on the newest connection; the next one asks for all anyway."""
        if not self._links:
            return
        size = self._wiring.adapter.batch_max
        with contextlib.suppress(WebSocketException):
            for first in range(0, len(names), size):  # none is without its stream for long
                for begin in (False, True):
                    await self._links[-1].request(names[first : first + size], begin=begin)

    @property
    def asked(self) -> set[str]:
        """The streams that the newest connection was asked for."""
        return self._links[-1].asked if self._links else set()

    async def until_asked(self, names: Sequence[str]) -> None:
        """Wait until the newest connection was asked for `names`, a while at most."""
        for _ in range(int(ASKED_S / ASKED_LOOK_S)):
            if self.asked.issuperset(names):
                return
            await asyncio.sleep(ASKED_LOOK_S)

    async def close(self) -> None:
        """Say goodbye to the venue, for good."""
        self._closing = True
        for stream in self.streams:
            await stream.close()
        if self._lives:
            _, late = await asyncio.wait(self._lives, timeout=CLOSE_S)
            for life in late:
                life.cancel()
