"""Faults of the market streams on demand: a bad day at a venue, the same each time."""

import random
from typing import Annotated

import msgspec

Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
DAY_MS = 86_400_000
Day = Annotated[int, msgspec.Meta(ge=-DAY_MS, le=DAY_MS)]
KINDS = ("drop", "duplicate", "reorder", "truncate", "corrupt")
REQUESTS = ("lose_answer", "unknown")
EVENTS = ("drop_user", "duplicate_user", "reorder_user")


class FaultSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of the stream messages meets which fault; by chance, but by the `seed`.

    `drop`: never sent. `duplicate`: sent twice. `reorder`: sent behind the next one of the same
    client. `truncate`: cut off. `corrupt`: one byte is nonsense. `silent`: symbols of which nothing
    is sent, though subscriptions are acknowledged. `cut`: the connection ends in the middle of a
    book that was asked for. `clock_ms`: how wrong the venue's clock is, a day at most, above 0
    where it is ahead.

    Of requests over the WebSocket API: `lose_answer`: carried out, and never answered. `unknown`:
    answered -1007 (nobody knows), carried out or not by a coin. Of user data events: `drop_user`,
    `duplicate_user`, and `reorder_user`: sent behind the next one.
    """

    seed: int = 1
    drop: Rate = 0.0
    duplicate: Rate = 0.0
    reorder: Rate = 0.0
    truncate: Rate = 0.0
    corrupt: Rate = 0.0
    silent: tuple[str, ...] = ()
    cut: Rate = 0.0
    lose_answer: Rate = 0.0
    unknown: Rate = 0.0
    drop_user: Rate = 0.0
    duplicate_user: Rate = 0.0
    reorder_user: Rate = 0.0
    clock_ms: Day = 0


class Faults:
    """Decides for each message to each client; nothing happens until it is `set`."""

    def __init__(self) -> None:
        self.settings = FaultSettings()
        self.counts = dict.fromkeys((*KINDS, "silent", "cut", *REQUESTS, *EVENTS), 0)
        self._random = random.Random(1)
        self._held: dict[int, bytes] = {}
        self._held_user: list[bytes] = []
        self.active = False

    def set(self, settings: FaultSettings) -> None:
        """Go by these from now on; what was held back is lost."""
        self.settings = settings
        self.active = any(getattr(settings, kind) for kind in (*KINDS, "silent"))
        self._random = random.Random(settings.seed)
        self._held.clear()
        self._held_user.clear()

    def apply(self, client: int, stream: str, payload: bytes) -> list[bytes]:
        """What `client` gets in place of `payload`: nothing, one message, or two."""
        settings = self.settings
        symbol = stream.partition("@")[0].upper()
        if symbol in settings.silent:
            self.counts["silent"] += 1
            return []
        sent = self._fault(client, payload)
        held = self._held.pop(client, None) if sent else None
        return [*sent, held] if held is not None else sent

    def _fault(self, client: int, payload: bytes) -> list[bytes]:
        chance, settings = self._random.random(), self.settings
        for kind in KINDS:
            chance -= getattr(settings, kind)
            if chance < 0:
                break
        else:
            return [payload]
        if kind == "reorder" and client in self._held:
            return [payload]
        self.counts[kind] += 1
        place = self._random.randrange(1, len(payload))
        match kind:
            case "duplicate":
                return [payload, payload]
            case "reorder":
                self._held[client] = payload
            case "truncate":
                return [payload[:place]]
            case "corrupt":
                return [payload[:place] + b"\x00" + payload[place + 1 :]]
        return []

    def cuts(self, path: str) -> bool:
        """Whether the answer to a request of `path` shall end in its middle."""
        if not self.settings.cut or not path.endswith("/depth"):
            return False
        cut = self._random.random() < self.settings.cut
        self.counts["cut"] += cut
        return cut

    def of_request(self) -> tuple[str, bool]:
        """What a request meets ("", lose_answer or unknown), and whether it is carried out."""
        kind = self._draw(REQUESTS)
        return kind, kind != "unknown" or self._random.random() < 0.5

    def of_event(self, event: bytes) -> list[bytes]:
        """What the user gets in place of a user data event."""
        match self._draw(EVENTS):
            case "drop_user":
                return []
            case "duplicate_user":
                return [event, event]
            case "reorder_user":
                self._held_user.append(event)
                return []
        held, self._held_user = self._held_user, []
        return [event, *held]

    def _draw(self, kinds: tuple[str, ...]) -> str:
        if not any(getattr(self.settings, kind) for kind in kinds):
            return ""
        chance = self._random.random()
        for kind in kinds:
            chance -= getattr(self.settings, kind)
            if chance < 0:
                self.counts[kind] += 1
                return kind
        return ""

    def forget(self, client: int) -> None:
        """The client is gone."""
        self._held.pop(client, None)
