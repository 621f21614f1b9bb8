"""The bucket `access` as every gateway sees it: read at the start, watched, changed by comparing.

A change is written only over the value that it was made from, so two gateways never undo each
other's. An empty value means that it is gone. While the bus is away what was read last still holds,
and nothing can be changed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

from tickbus import codec
from tickbus.bus import Bus, BusError, Subscription
from tickbus.codec import MalformedMessage
from tickbus.runtime.telemetry import Telemetry
from tickbus_api.access.records import (
    KEY,
    SESSIONS,
    SIGNING,
    USED,
    USER,
    KeyRecord,
    Record,
    Session,
    Sessions,
    SigningKey,
    Used,
    UserRecord,
)
from tickbus_api.problems import Problem, unavailable

BUCKET = "access"
TIMEOUT_S = 2.0
TRIES = 8
R = TypeVar("R", bound=Record)
T = TypeVar("T")

_log = logging.getLogger("tickbus.api.access")


class Store:
    """Users, keys and logins; usable once started."""

    def __init__(self) -> None:
        self.users: dict[str, UserRecord] = {}
        self.keys: dict[str, KeyRecord] = {}
        self.used: dict[str, Used] = {}
        self.signing: SigningKey | None = None
        self._sessions: dict[str, dict[str, Session]] = {}
        self._owners: dict[str, str] = {}
        self._told: dict[str, tuple[int, bytes]] = {}
        self._bus: Bus | None = None
        self._telemetry: Telemetry | None = None
        self._watch: Subscription | None = None
        self._kinds: tuple[tuple[str, type[Record]], ...] = (
            (USER, UserRecord), (KEY, KeyRecord), (SESSIONS, Sessions), (USED, Used),
            (SIGNING, SigningKey),
        )  # fmt: skip

    async def start(self, bus: Bus, telemetry: Telemetry | None = None) -> None:
        """Read what is there and follow it from then on. Raises BusError."""
        self._bus, self._telemetry = bus, telemetry
        self._watch = await bus.kv_watch(BUCKET, self._on_value)

    async def stop(self) -> None:
        """Follow it no more."""
        if self._watch is not None:
            await self._watch.stop()

    def secrets(self, now_ns: int) -> list[bytes]:
        """With what an access token may be signed, the newest first."""
        signing = self.signing
        if signing is None:
            return []
        return [signing.secret, *(key.secret for key in signing.earlier if key.until_ns > now_ns)]

    async def remove_key(self, key_id: str) -> None:
        """Take back an API key, with what is kept of its use. Raises Problem."""
        await self.change(KEY + key_id, KeyRecord, lambda _: None)
        await self.change(USED + key_id, Used, lambda _: None)

    async def note_use(self, key_id: str, used: Used) -> None:
        """Keep when a key was used, unless it is gone meanwhile. Raises Problem."""
        await self.change(USED + key_id, Used, lambda _: used if key_id in self.keys else None)

    async def forget_uses(self) -> None:
        """Drop what is kept of the use of keys that are gone. Raises Problem."""
        # Another gateway may have kept it at the moment when the key was taken back.
        for key_id in [key_id for key_id in self.used if key_id not in self.keys]:
            await self.change(USED + key_id, Used, lambda _: None)

    def session(self, user_id: str, session_id: str) -> Session | None:
        """A login as it was last seen; None when it is over, or not known here yet."""
        return self._sessions.get(user_id, {}).get(session_id)

    async def read(self, key: str, kind: type[R]) -> R | None:
        """The value as it is now, past what was seen. Raises Problem."""
        return (await self._read(key, kind))[0]

    async def change(
        self, key: str, kind: type[R], edit: Callable[[R | None], R | None]
    ) -> R | None:
        """What `edit` makes of the value as it is now, kept; None is gone. Raises Problem.

        `edit` may be called several times, and may raise a Problem of its own.
        """
        for _ in range(TRIES):
            value, revision = await self._read(key, kind)
            edited = edit(value)
            if edited == value:
                return edited
            told = self._times_told(key)
            encoded = codec.encode_value(edited) if edited is not None else b""
            if await self._bounded(self.bus.kv_swap(BUCKET, key, encoded, revision)):
                await self._see(key, edited, encoded, told)
                return edited
        raise Problem(
            HTTPStatus.CONFLICT,
            "CHANGED_MEANWHILE",
            "others change the same at the same time",
            remedy="try again",
        )

    @property
    def bus(self) -> Bus:
        """The bus. Raises RuntimeError before the start."""
        if self._bus is None:
            raise RuntimeError("the store of users is used before the gateway has started")
        return self._bus

    async def _see(self, key: str, value: Record | None, encoded: bytes, told: int) -> None:
        """Hold what was just kept, unless the watch tells of a later value already."""
        for _ in range(TRIES):
            if self._times_told(key) == told:
                self._take(key, value)
                return
            told, last = self._told[key]
            if last == encoded:
                return
            # It may be from before, and told late, or another gateway's since.
            try:
                payload, _revision = await self._bounded(self.bus.kv_read(BUCKET, key))
            except Problem:
                return  # It is kept all the same, and told of once the bus is back.
            if payload != encoded:
                return
        # The watch goes on telling, in order: what it tells last is what holds.

    def _times_told(self, key: str) -> int:
        return self._told.get(key, (0, b""))[0]

    async def _read(self, key: str, kind: type[R]) -> tuple[R | None, int]:
        payload, revision = await self._bounded(self.bus.kv_read(BUCKET, key))
        try:
            return (codec.decode_value(payload, kind) if payload else None), revision
        except MalformedMessage as error:
            self._refuse(key, error)
            raise unavailable(
                "ACCESS_UNREADABLE",
                f"the bucket {BUCKET} holds {key}, but not in a form that can be read",
                "remove that key from the bucket (docs/access.md), and make it anew",
            ) from error

    async def _bounded(self, asking: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await asking
        except (TimeoutError, BusError) as error:
            raise unavailable(
                "ACCESS_UNAVAILABLE",
                f"the bus, which keeps users and logins, did not answer within {TIMEOUT_S:g} s",
                "see GET /health; who is logged in stays so",
            ) from error

    async def _on_value(self, key: str, payload: bytes) -> None:
        kind = next((kind for prefix, kind in self._kinds if key.startswith(prefix)), None)
        if kind is None:
            return
        self._told[key] = (self._times_told(key) + 1, payload)
        try:
            self._take(key, codec.decode_value(payload, kind) if payload else None)
        except MalformedMessage as error:
            # What was known before still holds: nobody gets in, or locks others out, with rubbish.
            self._refuse(key, error)

    def _refuse(self, key: str, error: MalformedMessage) -> None:
        # Its bytes stay where they are: they may be of a password.
        _log.error("bucket %s: %s cannot be read and is ignored", BUCKET, key)
        if self._telemetry is not None:
            self._telemetry.error("access_unreadable")

    def _take(self, key: str, value: Record | None) -> None:
        name = key.partition(".")[2]
        match value:
            case UserRecord():
                self.users[name] = value
            case KeyRecord():
                self.keys[name] = value
            case Used():
                self.used[name] = value
            case SigningKey():
                self.signing = value
            case Sessions():
                self._take_sessions(name, value)
            case None:
                self._drop(key, name)

    def _take_sessions(self, user: str, value: Sessions) -> None:
        self._sessions.pop(self._owners.get(user, ""), None)
        self._owners[user] = value.user_id
        self._sessions[value.user_id] = {s.session_id: s for s in value.sessions}

    def _drop(self, key: str, name: str) -> None:
        if key.startswith(USER):
            self.users.pop(name, None)
        elif key.startswith(KEY):
            self.keys.pop(name, None)
            self.used.pop(name, None)
        elif key.startswith(USED):
            self.used.pop(name, None)
        elif key.startswith(SESSIONS):
            self._sessions.pop(self._owners.pop(name, ""), None)
