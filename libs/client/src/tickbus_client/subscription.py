"""What a client of the stream knows and says, without a connection.

Feed every text with `heard`, which gives updates; send what `to_send` has afterwards. `opened`
begins a connection, also a later one: then each topic goes on behind the last thing heard of it,
as far as the server still has it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from tickbus_client.errors import StreamFailed, Unintelligible

T = TypeVar("T")
Kind = Literal["snapshot", "delta", "gap", "error"]


@dataclass(frozen=True, slots=True)
class Update:
    """One thing said of a topic.

    A `snapshot` is all of it: forget what was known. A `delta` is what changed. A `gap` means that
    something can no longer be told; a snapshot follows. An `error` says why a topic is not told or
    not up to date at the moment (`data` has code, detail and remedy); it goes on by itself.
    `seq` counts per topic; `content` is `data` as it was sent.
    """

    topic: str
    kind: Kind
    seq: int
    data: Any
    content: bytes

    def read(self, kind: type[T]) -> T:
        """`data` as a struct of `answers`. Raises Unintelligible."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except msgspec.DecodeError as error:
            raise Unintelligible("the stream", f"{self.topic}: {error}") from error


class _Frame(msgspec.Struct, frozen=True):
    kind: str
    topic: str = ""
    topics: list[str] = []
    seq: int = 0
    data: msgspec.Raw = msgspec.Raw(b"null")
    code: str = ""
    detail: str = ""
    remedy: str = ""


_read = msgspec.json.Decoder(_Frame).decode


class Subscription:
    """The topics of one client, and how far it has heard each."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._wanted = dict.fromkeys(topics)
        self._heard: dict[str, int] = {}
        self._errors: dict[str, _Frame] = {}
        self._unanswered = 0
        self._greeted = False
        self._out: list[str] = []

    @property
    def topics(self) -> tuple[str, ...]:
        """What is subscribed to."""
        return tuple(self._wanted)

    def opened(self) -> None:
        """A new connection is there; what was to be sent on an older one is not any more."""
        self._greeted = False
        self._unanswered = 0
        self._errors.clear()
        self._out.clear()

    def subscribe(self, topics: Iterable[str]) -> None:
        """Hear these, too."""
        new = [topic for topic in topics if topic not in self._wanted]
        self._wanted |= dict.fromkeys(new)
        self._ask(new)

    def unsubscribe(self, topics: Iterable[str]) -> None:
        """Hear these no more."""
        old = [topic for topic in topics if topic in self._wanted]
        for topic in old:
            del self._wanted[topic]
            self._heard.pop(topic, None)
        if old and self._greeted:
            self._say({"op": "unsubscribe", "topics": old})

    def to_send(self) -> list[str]:
        """What is to be sent now, in order; each is given once."""
        out, self._out = self._out, []
        return out

    def heard(self, text: str | bytes) -> list[Update]:
        """What a text of the server says. Raises StreamFailed where it refuses something."""
        try:
            frame = _read(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise StreamFailed(f"the stream said something else than documented: {error}") from None
        match frame.kind:
            case "hello":
                self._greeted = True
                self._ask(list(self._wanted), resume=True)
            case "snapshot" | "delta" | "gap":
                return self._update(frame, frame.kind)
            case "error":
                return self._error(frame)
            case "subscribed":
                return self._answered(frame.topics)
        return []  # heartbeats, and whatever a newer server says

    def _ask(self, topics: list[str], *, resume: bool = False) -> None:
        if not topics or not self._greeted:
            return
        wish: dict[str, Any] = {"op": "subscribe", "topics": topics}
        places = {topic: self._heard[topic] for topic in topics if topic in self._heard}
        self._say(wish | ({"resume": places} if resume and places else {}))

    def _answered(self, told: list[str]) -> list[Update]:
        self._unanswered -= 1
        if self._unanswered > 0:
            return []  # what was asked for since is in a later answer
        errors, self._errors = self._errors, {}
        for topic in self._wanted:
            if topic not in told:
                why = errors.get(topic, _Frame("error", detail=f"{topic} is not told"))
                raise StreamFailed(why.detail, why.code, why.remedy)
        return [_trouble(frame) for frame in errors.values()]

    def _error(self, frame: _Frame) -> list[Update]:
        if not frame.topic:
            raise StreamFailed(frame.detail or frame.code, frame.code, frame.remedy)
        if frame.topic not in self._wanted:
            return []
        if self._unanswered > 0:
            # Whether it is refused, or told with trouble, the answer says.
            self._errors[frame.topic] = frame
            return []
        return [_trouble(frame)]

    def _update(self, frame: _Frame, kind: Kind) -> list[Update]:
        topic, last = frame.topic, self._heard.get(frame.topic)
        if topic not in self._wanted:
            return []  # said before it heard that we want no more of it
        if kind == "delta":
            if last is None or frame.seq <= last:
                return []  # known, or of something whose snapshot is on its way
            if frame.seq > last + 1:
                del self._heard[topic]
                self._ask([topic])  # without a place: with a new snapshot
                lost = b'{"after":%d}' % last
                return [Update(topic, "gap", frame.seq, {"after": last}, lost)]
        if kind == "gap":
            self._heard.pop(topic, None)
        else:
            self._heard[topic] = frame.seq
        content = bytes(frame.data)
        return [Update(topic, kind, frame.seq, msgspec.json.decode(content), content)]

    def _say(self, wish: dict[str, Any]) -> None:
        self._unanswered += 1
        self._out.append(msgspec.json.encode(wish).decode())


def _trouble(frame: _Frame) -> Update:
    data = {"code": frame.code, "detail": frame.detail, "remedy": frame.remedy}
    return Update(frame.topic, "error", 0, data, msgspec.json.encode(data))
