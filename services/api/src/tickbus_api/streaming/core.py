"""Who hears which topics, and what each client still has to be told.

Consumes: clients that join, subscribe and leave; ticks, at which the sources say what changed.
Produces: frames, for each client when it asks for them.
Invariants: what a client was told (the newest snapshot and the deltas behind it) is what its source
last said, whenever it has taken all there is for it. Nothing is kept per client but its place in
each topic, so that a client that takes nothing costs nothing and holds up nobody; a frame is made
once, whoever hears it, and of a topic that nobody hears nothing is made.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

from tickbus_api.streaming.frames import Frame

WHOLE = ""
"""What a source answers when only its whole state can tell what it has become."""
LINGER_NS = 60_000_000_000
"""How long a topic that can be resumed goes on without hearers."""
NOTES_MAX = 100
"""Answers and errors that wait for one client; with more it is closed, as nobody reads them."""
NS_PER_MS = 1_000_000


class Source(Protocol):
    """What a topic is about; told apart in what it last said, and what became of it since."""

    @property
    def is_ready(self) -> bool:
        """Whether it has anything to say yet."""
        ...

    def changes(self, now: int) -> str | None:
        """What changed since the last call, as JSON; None for nothing, WHOLE for too much."""
        ...

    def state(self) -> str:
        """All of it as JSON, as it was at the last call of `changes`."""
        ...


class Terms(NamedTuple):
    """How a topic is told.

    `every_ms`: what changes more often is told as one. `kept`: deltas that are kept for clients
    that are behind; further behind they get a snapshot. `resumes`: each step counts, so that a gap
    is told and the topic lives on for a while without hearers.
    """

    every_ms: int = 100
    kept: int = 0
    resumes: bool = False


class Channel:
    """One topic that is heard: the newest frames, and the place of the newest."""

    def __init__(self, topic: str, source: Source, terms: Terms, seq: int) -> None:
        self.topic = topic
        self.source = source
        self.terms = terms
        self.seq = seq
        self.hearers: dict[Client, None] = {}
        self.unheard_since: int | None = None
        self.is_open = False
        """Whether its source had anything to say yet."""
        self.trouble: Frame | None = None
        """The error frame that says why it is not told at the moment."""
        self._due = 0
        self._ring: deque[Frame] = deque(maxlen=terms.kept)
        self._whole: Frame | None = None
        self._head = f'{{"topic":{msgspec.json.encode(topic).decode()},"seq":'

    def poll(self, now: int) -> bool:
        """Ask the source, if it is time to; whether there is news."""
        if now < self._due or not self.source.is_ready:
            return False
        # A tick that comes a little early must not wait for the next one.
        self._due = now + self.terms.every_ms * NS_PER_MS * 9 // 10
        change = self.source.changes(now)
        if change is None and self.is_open:
            return False
        self.seq += 1
        self._whole = None
        if change and self.is_open:
            self._ring.append(self._frame(self.seq, "delta", change))
        else:
            self._ring.clear()
        self.is_open = True
        return True

    def read(self, place: int | None) -> list[Frame]:
        """The frames for a client that was told everything up to `place`, None for nothing."""
        if not self.is_open or place == self.seq:
            return []
        behind = len(self._ring) + 1 if place is None else self.seq - place
        if 0 < behind <= len(self._ring):
            return list(islice(self._ring, len(self._ring) - behind, None))
        if self._whole is None:
            self._whole = self._frame(self.seq, "snapshot", self.source.state())
        if place is not None and self.terms.resumes:
            # Its place is the old one: to resume there is a gap again, until the snapshot is read.
            return [self._frame(place, "gap", f'{{"after":{place}}}'), self._whole]
        return [self._whole]

    def _frame(self, seq: int, kind: str, data: str) -> Frame:
        return Frame(f'{self._head}{seq},"kind":"{kind}","data":{data}}}')


class Client:
    """One listener: its place in each topic, and what else it has to be told."""

    def __init__(self) -> None:
        self.places: dict[str, int | None] = {}
        self.ready: dict[str, None] = {}
        self.notes: deque[Frame] = deque()

    @property
    def has_news(self) -> bool:
        """Whether there is anything to take."""
        return bool(self.notes or self.ready)

    @property
    def is_flooded(self) -> bool:
        """Whether it asks for more answers than it reads."""
        return len(self.notes) > NOTES_MAX


class Hub:
    """All topics that are heard, and all clients; `make` opens a topic by its name.

    Places begin at `origin`, another one for each process: two gateways count the same steps from
    different beginnings, and the place of one must mean nothing to the other.
    """

    def __init__(self, make: Callable[[str], tuple[Source, Terms]], origin: int = 0) -> None:
        self._make = make
        self._origin = origin
        self._channels: dict[str, Channel] = {}
        self._clients: dict[Client, None] = {}
        self._highest = 0

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def clients(self) -> Iterator[Client]:
        """Everybody."""
        return iter(self._clients)

    @property
    def topics(self) -> list[str]:
        """What is heard, or was until a moment ago."""
        return list(self._channels)

    def source(self, topic: str) -> Source | None:
        """That of `topic`; None when nobody hears it."""
        channel = self._channels.get(topic)
        return channel.source if channel else None

    def join(self) -> Client:
        """A client more; it hears nothing yet."""
        client = Client()
        self._clients[client] = None
        return client

    def leave(self, client: Client, now: int) -> None:
        """Forget a client; leaving twice is no error."""
        for topic in list(client.places):
            self.unsubscribe(client, topic, now)
        self._clients.pop(client, None)

    def subscribe(self, client: Client, topic: str, now: int, resume: int | None = None) -> None:
        """Have `client` hear `topic`, from behind the place `resume` on if that is still known.

        Hearing it already it is told the whole of it again, or what is behind `resume`.
        """
        channel = self._channels.get(topic)
        if channel is None:
            source, terms = self._make(topic)
            # The time in ms, and above all that were given out: the place of an earlier topic is
            # never taken for one of this topic.
            first = self._origin + now // NS_PER_MS
            channel = Channel(topic, source, terms, max(first, self._highest + 2))
            self._channels[topic] = channel
            self._poll(channel, now)
        channel.hearers[client] = None
        channel.unheard_since = None
        client.places[topic] = resume if channel.terms.resumes else None
        client.ready[topic] = None
        if channel.trouble:
            client.notes.append(channel.trouble)

    def unsubscribe(self, client: Client, topic: str, now: int) -> bool:
        """Tell it no more of `topic`; False when it heard nothing of it."""
        if topic not in client.places:
            return False
        del client.places[topic]
        client.ready.pop(topic, None)
        channel = self._channels[topic]
        del channel.hearers[client]
        if not channel.hearers:
            channel.unheard_since = now
            if not channel.terms.resumes:
                del self._channels[topic]
        return True

    def tick(self, now: int, failed: Callable[[str, Exception], object]) -> list[Client]:
        """Ask every topic that is due for news; the clients that have any.

        A source that raises is a bug in that one: `failed` is told, and the others are asked.
        """
        told: dict[Client, None] = {}
        for channel in list(self._channels.values()):
            if channel.unheard_since is not None and now - channel.unheard_since > LINGER_NS:
                del self._channels[channel.topic]
                continue
            try:
                has_news = self._poll(channel, now)
            except Exception as error:  # noqa: BLE001
                failed(channel.topic, error)
                continue
            if has_news:
                told |= channel.hearers
                for client in channel.hearers:
                    client.ready[channel.topic] = None
        return list(told)

    def trouble(self, topic: str, text: str) -> list[Client]:
        """Say once, with the frame `text`, that a topic cannot be told now; "" when it can again.

        The clients that have news of it.
        """
        channel = self._channels.get(topic)
        if channel is None or text == (channel.trouble.text if channel.trouble else ""):
            return []
        note = channel.trouble = Frame(text) if text else None
        if note is None:
            return []
        for client in channel.hearers:
            client.notes.append(note)
        return list(channel.hearers)

    def take(self, client: Client) -> list[Frame]:
        """All that `client` has to be told now, in order within a topic."""
        frames = list(client.notes)
        client.notes.clear()
        ready, client.ready = client.ready, {}
        for topic in ready:
            channel = self._channels[topic]
            frames += channel.read(client.places[topic])
            if channel.is_open:
                client.places[topic] = channel.seq
        return frames

    def _poll(self, channel: Channel, now: int) -> bool:
        news = channel.poll(now)
        self._highest = max(self._highest, channel.seq)
        return news
