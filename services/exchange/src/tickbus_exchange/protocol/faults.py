"""Faults on demand, of streams and of requests: a bad day at a venue, the same each time."""

import contextlib
import random
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import msgspec

from tickbus_exchange.protocol import errors
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.limits import Limiter

Answer = TypeVar("Answer")
Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
DAY_MS = 86_400_000
Day = Annotated[int, msgspec.Meta(ge=-DAY_MS, le=DAY_MS)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=60_000)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=3_600)]
KINDS = ("drop", "duplicate", "reorder", "truncate", "corrupt")
SIGNED_REQUESTS = ("lose_answer", "unknown")
ANY_REQUESTS = ("server_error", "refuse", "throttle", "ban")
QUERIES = ("not_found",)
FUTURES_REQUESTS = ("futures_unknown", "futures_unavailable", "futures_throttled")
REQUESTS = (*SIGNED_REQUESTS, *ANY_REQUESTS, *QUERIES)
EVENTS = ("drop_user", "duplicate_user", "reorder_user", "terminate_user")
SERVER_ERRORS = ((500, -1000), (502, 0), (503, -1001), (504, -1007))
"""HTTP status and code of a server error; code 0 is a gateway's page instead of JSON."""
UNKNOWN_CODES = frozenset({-1000, -1001, -1006, -1007})
"""Refusals after which nobody knows whether the request was carried out."""


class FaultSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of the stream messages meets which fault; by chance, but by the `seed`.

    `drop`: never sent. `duplicate`: sent twice. `reorder`: sent behind the next one of the same
    client. `truncate`: cut off. `corrupt`: one byte is nonsense. `silent`: symbols of which nothing
    is sent, though subscriptions are acknowledged. `cut`: the connection ends in the middle of a
    book that was asked for. `clock_ms`: how wrong the venue's clock is, a day at most, above 0
    where it is ahead.

    Of signed REST requests and of all over the WebSocket API: `lose_answer`: carried out, and never
    answered (over REST the connection falls silent or is cut, by a coin). `unknown`: answered -1007
    (nobody knows), carried out or not by a coin. Of all requests: `server_error`: answered 5xx,
    carried out or not by a coin. `refuse`: answered with one of `refuse_codes`; carried out by a
    coin where the code leaves that open, else not. `throttle`: answered 429 from then on for
    `throttle_s`, 418 to who goes on asking. `ban`: answered 418 from then on for `ban_s`.
    `not_found`: that part of the queries of one order is answered -2013, whether it is there or
    not. Part `delay` of the answers comes `delay_ms`, and by chance up to `delay_jitter_ms` more,
    later.

    Of futures orders and cancels, 503 in three kinds: `futures_unknown`: carried out or not, by a
    coin. `futures_unavailable`: not carried out. `futures_throttled`: not carried out, and only of
    orders and amendments that may open a position.

    Of user data events: `drop_user`, `duplicate_user`, and `reorder_user`: sent behind the next
    one. `terminate_user`: eventStreamTerminated in place of it, and no more after that.
    `silent_user`: nothing is sent while it is set. Each comes `delay_user_ms` and up to
    `delay_user_jitter_ms` later, in order.
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
    server_error: Rate = 0.0
    refuse: Rate = 0.0
    refuse_codes: tuple[Literal[-1000, -1001, -1003, -1006, -1007, -1008, -1015, -1021], ...] = (
        -1000,
        -1001,
        -1003,
        -1006,
        -1008,
        -1015,
        -1021,
    )
    throttle: Rate = 0.0
    throttle_s: Seconds = 5
    ban: Rate = 0.0
    ban_s: Seconds = 120
    delay: Rate = 1.0
    delay_ms: Milliseconds = 0
    delay_jitter_ms: Milliseconds = 0
    terminate_user: Rate = 0.0
    silent_user: bool = False
    delay_user_ms: Milliseconds = 0
    delay_user_jitter_ms: Milliseconds = 0
    not_found: Rate = 0.0
    futures_unknown: Rate = 0.0
    futures_unavailable: Rate = 0.0
    futures_throttled: Rate = 0.0


class RequestFault(msgspec.Struct, frozen=True):
    """What one request meets: "" for nothing. `error` is answered in place of its answer."""

    kind: str = ""
    is_carried_out: bool = True
    error: ApiError | None = None

    @property
    def is_lost(self) -> bool:
        """Whether there is no answer."""
        return self.kind == "lose_answer"


NO_FAULT = RequestFault()


class Faults:
    """Decides for each message to each client; nothing happens until it is `set`."""

    def __init__(self) -> None:
        self.settings = FaultSettings()
        single = ("silent", "cut", "delay", "silent_user")
        self.counts = dict.fromkeys((*KINDS, *REQUESTS, *FUTURES_REQUESTS, *EVENTS, *single), 0)
        self._random = random.Random(1)
        self._held: dict[int, bytes] = {}
        self._held_user: dict[str, list[bytes]] = {}
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

    def of_request(self, *, signed: bool = True, queries: bool = False) -> RequestFault:
        """What a request meets. `queries`: it asks for one order."""
        kinds = (*SIGNED_REQUESTS, *ANY_REQUESTS) if signed else ANY_REQUESTS
        kind = self._draw((*kinds, *QUERIES) if queries else kinds)
        match kind:
            case "not_found":
                return RequestFault(kind, is_carried_out=False, error=errors.no_such_order())
            case "unknown":
                return RequestFault(kind, self._coin(), errors.unknown())
            case "server_error":
                status, code = self._random.choice(SERVER_ERRORS)
                message = "Unknown error, please check your request or try again later."
                return RequestFault(kind, self._coin(), ApiError(code, message, status))
            case "refuse":
                code = self._random.choice(self.settings.refuse_codes or (-1000,))
                carried_out = code in UNKNOWN_CODES and self._coin()
                return RequestFault(kind, carried_out, errors.by_code(code))
        return RequestFault(kind) if kind else NO_FAULT

    def of_futures(self, *, exempt: bool) -> tuple[str, bool]:
        """Which 503 a futures order or cancel meets, "" for none, and whether it is carried out."""
        kind = self._draw(FUTURES_REQUESTS[:2] if exempt else FUTURES_REQUESTS)
        return kind, not kind or (kind == "futures_unknown" and self._coin())

    def carry_out(
        self,
        fault: RequestFault,
        limiter: Limiter,
        address: str,
        now_ms: int,
        work: Callable[[], Answer],
    ) -> Answer:
        """Do `work` as `fault` allows; raises the ApiError that is to be answered."""
        if fault.kind == "throttle":
            limiter.throttle(address, self.settings.throttle_s * 1_000, now_ms)
        elif fault.kind == "ban":
            limiter.ban(address, self.settings.ban_s * 1_000, now_ms)
        if fault.error is None:
            return work()
        if fault.is_carried_out:
            with contextlib.suppress(ApiError):
                work()
        raise fault.error

    def delay(self) -> int:
        """How many ms later than due an answer is sent."""
        settings = self.settings
        longest = settings.delay_ms + settings.delay_jitter_ms
        if not longest or self._random.random() >= settings.delay:
            return 0
        self.counts["delay"] += 1
        return self._random.randint(settings.delay_ms, longest)

    def delay_of_event(self) -> int:
        """How many ms later than due a user data event is sent."""
        settings = self.settings
        longest = settings.delay_user_ms + settings.delay_user_jitter_ms
        return self._random.randint(settings.delay_user_ms, longest) if longest else 0

    def falls_silent(self) -> bool:
        """Whether a lost REST answer leaves the connection open and silent, or cuts it."""
        return self._coin()

    def of_event(self, event: bytes, account_id: str = "user") -> list[bytes] | None:
        """What the user gets in place of a user data event; None for the end of the stream."""
        if self.settings.silent_user:
            self.counts["silent_user"] += 1
            return []
        match self._draw(EVENTS):
            case "drop_user":
                return []
            case "duplicate_user":
                return [event, event]
            case "reorder_user":
                self._held_user.setdefault(account_id, []).append(event)
                return []
            case "terminate_user":
                return None
        return [event, *self._held_user.pop(account_id, ())]

    def _coin(self) -> bool:
        return self._random.random() < 0.5

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
