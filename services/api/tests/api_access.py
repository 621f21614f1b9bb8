"""Who may use the gateway under test: everybody here, or users who log in, with keys and tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

import argon2
import httpx
import jwt
from api_platform import NOW, Gateway
from fastapi import Response
from fastapi.routing import APIRoute, iter_route_contexts

from tickbus import codec, subjects
from tickbus.bus import Message
from tickbus.events import Event
from tickbus_api.access import Access, Role, Scope, hashing, tokens
from tickbus_api.access.records import (
    KEY,
    SESSIONS,
    SIGNING,
    USER,
    KeyRecord,
    Session,
    Sessions,
    SigningKey,
    UserRecord,
)
from tickbus_api.config import ApiConfig

PASSWORD = "correct horse battery"
SECRET = bytes(range(32))
DAY_NS = 86_400 * 10**9
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD_HASH = CHEAP.hash(PASSWORD)
HERE, ELSEWHERE = "127.0.0.1", "203.0.113.9"
"""Where requests come from: `api.access` is `login`, so that it makes no difference by itself."""


def at_this_machine() -> Access:
    """Access for whoever sends from here, as `tickbus up` gives it."""
    return Access(ApiConfig(access="local"), "r")


def a_user(name: str, role: Role, **changes: Any) -> UserRecord:
    """A user whose password is PASSWORD."""
    return UserRecord(name, f"id-{name}", role, PASSWORD_HASH, NOW, **changes)


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token or a key."""
    return {"Authorization": f"Bearer {token}"}


class Desk(Gateway):
    """A gateway that wants logins, with the users `ada` (admin), `tom` (trader), `vic` (viewer)."""

    def __init__(self, **api: Any) -> None:
        super().__init__(access="login", **api)
        self.access: Access = self.app.state.access
        self.stored: list[Event] = []
        self._keys = 0

    async def start(self) -> None:
        """Start it with what was kept before."""
        await self.keep(SIGNING, SigningKey(SECRET, NOW))
        for name, role in (("ada", Role.ADMIN), ("tom", Role.TRADER), ("vic", Role.VIEWER)):
            await self.keep(USER + name, a_user(name, role))
            session = Session(f"s-{name}", hashing.digest("r"), NOW, NOW + DAY_NS, HERE)
            await self.keep(SESSIONS + name, Sessions(f"id-{name}", (session,)))
        await self.bus.subscribe(subjects.ACTS, self._on_act)
        await super().start()

    async def settle(self) -> None:
        """Wait until what was done is on record."""
        await self.access.recorder.stop(patience_s=60)
        await self.bus.settle()

    async def _on_act(self, message: Message) -> None:
        self.stored += codec.decode_said(message.subject, message.payload).events

    async def keep(self, key: str, value: Any) -> None:
        """Put something into the bucket, as another gateway does."""
        await self.bus.kv_put("access", key, codec.encode_value(value) if value else b"")

    def token(self, name: str, *, age_s: int = 0, secret: bytes = SECRET) -> str:
        """An access token of `name` that was given out so long ago."""
        claims = tokens.Claims(name, f"id-{name}", f"s-{name}")
        return tokens.issue(secret, claims, NOW - age_s * 10**9, 900)

    async def key(
        self, name: str, scopes: Sequence[Scope] = tuple(Scope), *, expires_ns: int = 0,
        networks: tuple[str, ...] = (), user_id: str = "",
    ) -> str:  # fmt: skip
        """An API key of `name`."""
        self._keys += 1
        key_id, secret = f"k{self._keys}", f"secret_{self._keys}"
        record = KeyRecord(
            key_id, name, user_id or f"id-{name}", "test", tuple(scopes), hashing.digest(secret),
            NOW, expires_ns, networks,
        )  # fmt: skip
        await self.keep(KEY + key_id, record)
        return f"tbk_{key_id}_{secret}"

    def client(self, address: str = ELSEWHERE, **headers: str) -> httpx.AsyncClient:
        """Whoever sends from `address`."""
        transport = httpx.ASGITransport(
            self.app, raise_app_exceptions=False, client=(address, 40_000)
        )
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)

    async def log_in(
        self, name: str = "tom", password: str = PASSWORD, address: str = ELSEWHERE
    ) -> httpx.Response:
        """What a program gets that logs in."""
        async with self.client(address) as http:
            body = {"user": name, "password": password}
            return await http.post("/api/v1/auth/login", json=body)

    async def ask(
        self, token: str, method: str = "GET", path: str = "/api/v1/auth/me", **given: Any
    ) -> httpx.Response:
        """The answer to a request with a token or a key."""
        address = given.pop("address", ELSEWHERE)
        async with self.client(address, **bearer(token)) as http:
            return await http.request(method, path, **given)

    def only_doors(self) -> None:
        """Have every route answer 204 at once, so that only who gets in is seen."""

        async def inside(**_: Any) -> Response:
            return Response(status_code=204)

        for context in iter_route_contexts(self.app.routes):
            route: Any = context
            if isinstance(context.original_route, APIRoute):
                route.dependant.call = inside


def foreign(claims: Mapping[str, Any], algorithm: str, secret: Any = "") -> str:
    """A token that somebody made up."""
    return jwt.encode(dict(claims), secret, algorithm)
