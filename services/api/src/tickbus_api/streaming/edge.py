"""The streams' side of time and of asking: ticks while somebody listens, heartbeats, stalls."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Protocol

from tickbus import __version__, subjects
from tickbus.bus import BusError
from tickbus.runtime import Context, Reading
from tickbus.runtime.http import Wire
from tickbus_api.gateway import Gateway
from tickbus_api.problems import Problem, unavailable
from tickbus_api.streaming import commands, topics
from tickbus_api.streaming.commands import Ping, Subscribe
from tickbus_api.streaming.core import Client, Hub, Source, Terms
from tickbus_api.streaming.frames import Frame
from tickbus_api.streaming.sources import Asking, open_source, require_known

TICK_S = 0.1
GATHER_S = 0.01
"""How long the steps of an order are gathered: it often takes several at once."""
HEARTBEAT_S = 5.0
BACKLOG_BYTES_MAX = 64 * 1024
"""With more unread a client is told nothing more, until it has read."""
BURST = 25
"""Listeners that are written to in a row."""
ASK_AGAIN_S = 2.0
"""Behind an answer that did not come."""

ORIGIN_MAX = 1 << 52
"""Of places: a number of JavaScript is exact up to twice as much."""

Address = tuple[str, int]
HEARD = {"decisions": subjects.DECISIONS_ALL}
"""What of the bus only a topic needs: it is heard while the topic is."""


class Pipe(Protocol):
    """What carries frames to one client."""

    @property
    def backlog(self) -> int:
        """The bytes that the client's side of the network has not taken yet."""
        ...

    def write(self, frames: Sequence[Frame]) -> None:
        """Send all of them, in their order; never waits."""
        ...


class Listener:
    """One connection that listens; nothing is written to it while it does not read."""

    def __init__(self, streams: "Streams", client: Client) -> None:
        self.client = client
        self.stalled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._streams = streams
        self._pipe: Pipe | None = None
        self._backlog = 0
        self._moved_at = 0.0

    def open(self, pipe: Pipe) -> None:
        """Its connection is there."""
        self._pipe = pipe
        self.wake()

    def wake(self) -> bool:
        """Write what there is to say; False while it has not read what was written before."""
        if self._pipe is None:
            return True
        backlog = self._pipe.backlog
        if backlog > BACKLOG_BYTES_MAX:
            self._wait(backlog)
            return False
        self._backlog = 0
        frames = self._streams.hub.take(self.client)
        if frames:
            self._pipe.write(frames)
        return True

    def _wait(self, backlog: int) -> None:
        now_s = asyncio.get_running_loop().time()
        if not self._backlog or backlog < self._backlog:
            self._moved_at = now_s
        self._backlog = backlog
        self._streams.behind[self] = None
        if now_s - self._moved_at > self._streams.stalled_after_s and not self.stalled.done():
            self.stalled.set_result(None)

    def say(self, text: str) -> None:
        """A frame for this one alone. Raises Problem when it reads none."""
        self.client.notes.append(Frame(text))
        self.wake()
        if self.client.is_flooded:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS, "STREAM_FLOODED", "answers pile up unread",
                remedy="read what comes, and ask less often",
            )  # fmt: skip

    def obey(self, text: str | bytes) -> None:
        """Do what the client says; what is wrong with it is said back. Raises Problem."""
        try:
            command = commands.parse(text)
        except Problem as problem:
            self.say(commands.error(problem))
            return
        if isinstance(command, Ping):
            self.say(commands.pong(self._streams.now_ns()))
        elif isinstance(command, Subscribe):
            self.subscribe(command.topics, command.resume)
        else:
            for topic in command.topics:
                self._streams.hub.unsubscribe(self.client, topic, self._streams.now_ns())
            self.say(commands.subscribed(list(self.client.places)))

    def subscribe(self, wanted: list[str], resume: dict[str, int]) -> None:
        """Hear `wanted` from now on; what cannot be heard is said back. Raises Problem."""
        for topic in dict.fromkeys(wanted):
            try:
                self._streams.subscribe(self.client, topic, resume.get(topic))
            except Problem as problem:
                self.say(commands.error(problem, topic))
        self.say(commands.subscribed(list(self.client.places)))


class Streams:
    """Everybody who listens to this gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.hub = Hub(self._open, secrets.randbelow(ORIGIN_MAX))
        self.run = ""
        self._gateway = gateway
        self._context: Context | None = None
        self.wire: Callable[[Address], Wire | None] = _nobody
        """The connection with an address, below all protocols."""
        self.behind: dict[Listener, None] = {}
        """Who has not read what was written; looked at again at each tick."""
        self._listeners: dict[Client, Listener] = {}
        self._joined = asyncio.Event()
        self._nudged = asyncio.Event()
        self._asked_at = 0.0
        self._beaten_at = 0.0
        self._hears: list[str] = []

    @property
    def stalled_after_s(self) -> float:
        """After how long a client that reads nothing is closed."""
        return self._gateway.config.streams.stalled_after_s

    def start(self, context: Context) -> None:
        """Tell whoever listens, from now on."""
        self._context = context
        self.run = f"{self._gateway.run_id}-{context.clock.now_ns() // 1_000_000}"
        self._gateway.on_step = self.nudge
        context.telemetry.readers.append(self._measure)
        context.spawn(self._pump(), "streams")

    def _measure(self) -> Iterator[Reading]:
        yield Reading("stream_clients", len(self.hub))
        yield Reading("stream_clients_behind", len(self.behind))
        yield Reading("stream_topics", len(self.hub.topics))

    def nudge(self) -> None:
        """Something happened that is to be told soon."""
        self._nudged.set()

    def now_ns(self) -> int:
        """The time, ns UTC."""
        return self._gateway.now_ns()

    def join(self) -> Listener:
        """One more who listens. Raises Problem when there are too many."""
        if self._context is None:
            raise unavailable("STARTING", "the gateway is starting", "repeat in a second")
        if len(self.hub) >= self._gateway.config.streams.clients_max:
            raise unavailable(
                "STREAMS_FULL",
                f"{self._gateway.config.streams.clients_max} clients listen already",
                "try again later, close pages that nobody looks at, or raise"
                " `api.streams.clients_max`",
            )
        listener = Listener(self, self.hub.join())
        self._listeners[listener.client] = listener
        listener.say(commands.hello(self.run, __version__, self.now_ns()))
        self._joined.set()
        return listener

    def leave(self, listener: Listener) -> None:
        """One less."""
        self._listeners.pop(listener.client, None)
        self.behind.pop(listener, None)
        self.hub.leave(listener.client, self.now_ns())

    def subscribe(self, client: Client, topic: str, resume: int | None) -> None:
        """Have `client` hear `topic`. Raises Problem."""
        require_known(self._gateway, topic)
        if (
            topic not in client.places
            and len(client.places) >= self._gateway.config.streams.topics_max
        ):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "TOO_MANY_TOPICS",
                f"this client hears {len(client.places)} topics already",
                remedy="unsubscribe from some, or raise `api.streams.topics_max`",
            )  # fmt: skip
        self.hub.subscribe(client, topic, self.now_ns(), resume)

    # -- inside ----------------------------------------------------------------------------------

    def _open(self, text: str) -> tuple[Source, Terms]:
        topic = topics.parse(text)
        source, asking = open_source(self._gateway, topic)
        if asking is not None:
            assert self._context is not None
            self._context.spawn(self._ask(text, source, asking), f"stream {text}")
        return source, topics.KINDS[topic.name].terms

    async def _ask(self, topic: str, source: Source, asking: Asking) -> None:
        # The topic is opened right behind this, so that it is there when the task begins.
        await asyncio.sleep(0)
        while self.hub.source(topic) is source:
            wait_s = asking.every_s
            try:
                await self._listen()  # what happens behind the answer must not be missed
                await asking.ask()
            except (Problem, BusError) as error:
                problem = error if isinstance(error, Problem) else _bus_away(error)
                await self._wake(self._of(self.hub.trouble(topic, commands.error(problem, topic))))
                wait_s = ASK_AGAIN_S
            except Exception as error:  # noqa: BLE001
                await self._wake(self._failed(topic, error))
                wait_s = ASK_AGAIN_S
            else:
                self.hub.trouble(topic, "")
                self.nudge()
            if not wait_s:
                return
            await asyncio.sleep(wait_s)

    async def _pump(self) -> None:
        while True:
            if not self._listeners and not self.hub.topics:
                self._joined.clear()
                await self._joined.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._nudged.wait()
                await asyncio.sleep(GATHER_S)
            await self.tick()
            with contextlib.suppress(BusError):  # then at the next tick
                await self._listen()

    async def _listen(self) -> None:
        assert self._context is not None
        wanted = [subject for topic, subject in HEARD.items() if topic in self.hub.topics]
        if wanted != self._hears:
            await self._context.listen(wanted)
            self._hears = wanted

    async def tick(self) -> None:
        """Tell what there is to tell, and that we live."""
        behind, self.behind = self.behind, {}
        await self._wake([*behind, *self._beat(), *self._news()])

    def _news(self) -> list[Listener]:
        """Ask every topic that is due; who is to be told of it."""
        self._nudged.clear()  # what happens from here on is not in the answers
        self._asked_at = asyncio.get_running_loop().time()
        told: list[Listener] = []
        news = self.hub.tick(self.now_ns(), lambda *which: told.extend(self._failed(*which)))
        return [*told, *self._of(news)]

    def _failed(self, topic: str, error: Exception) -> list[Listener]:
        """A bug in one topic: counted and logged, and said to who hears it; the others go on."""
        assert self._context is not None
        kind = type(error).__name__
        problem = Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL_ERROR",
            f"the gateway failed ({kind}) at {topic}; its log says where",
            remedy="report it with the log; other topics are not affected",
        )  # fmt: skip
        listeners = self._of(self.hub.trouble(topic, commands.error(problem, topic)))
        if listeners:  # once, not at every tick
            self._context.telemetry.error("bug")
            self._context.log.error("the topic %s failed", topic, exc_info=error)
        return listeners

    def _beat(self) -> list[Listener]:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._beaten_at < HEARTBEAT_S:
            return []
        self._beaten_at = now_s
        frame = Frame(commands.heartbeat(self.now_ns()))
        # Who has not read what was said to it before is behind, and hears of us anyway.
        reading = [each for each in self._listeners.values() if not each.client.notes]
        for listener in reading:
            listener.client.notes.append(frame)
        return reading

    def _of(self, clients: list[Client]) -> list[Listener]:
        return [self._listeners[client] for client in clients]

    async def _wake(self, listeners: list[Listener]) -> None:
        clock, waiting = asyncio.get_running_loop().time, dict.fromkeys(listeners)
        began_at = clock()
        while True:
            for listener in list(islice(waiting, BURST)):
                del waiting[listener]
                listener.wake()
            if not waiting:
                return
            await asyncio.sleep(0)  # an order does not wait until all are told of a price
            now = clock()
            # Nor does its step: who is still to be told hears of both at once. The next tick is
            # not put off by that for ever.
            if (
                self._nudged.is_set()
                and now - self._asked_at > GATHER_S
                and now - began_at < TICK_S
            ):
                waiting |= dict.fromkeys(self._news())


def _nobody(_: Address) -> None:
    """Before the server runs there are no connections."""


def _bus_away(error: BusError) -> Problem:
    return unavailable("BUS_UNAVAILABLE", str(error), "see GET /health, then repeat")
