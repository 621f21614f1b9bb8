"""Logging in and staying so: passwords, access tokens, and refresh tokens that work once."""

import logging
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from tickbus_api.access import hashing, tokens
from tickbus_api.access.hashing import Passwords
from tickbus_api.access.records import SESSIONS, Session, Sessions, UserRecord
from tickbus_api.access.store import Store
from tickbus_api.access.throttling import NS_PER_S, Backoff
from tickbus_api.config import ApiConfig
from tickbus_api.problems import Problem

SESSIONS_MAX = 20
"""Logins of one user at once; one more ends the oldest."""
RACE_NS = 5 * NS_PER_S
"""Two pages of one browser may send the same refresh token at once; so far apart at most."""
DAY_NS = 86_400 * NS_PER_S
_PREFIX = "tbr"
REFUSED = "LOGIN_REFUSED"
"""The code for a wrong password."""

_log = logging.getLogger("tickbus.api.access")


class Tokens(NamedTuple):
    """What a login gives; `refresh` is "" where the browser has a newer one already."""

    access: str
    refresh: str
    user: UserRecord
    session_id: str


class Throttle:
    """Who must wait after failed logins: a user from an address, an address, a user from anywhere.

    The last waits little: else whoever knows a name could lock its user out.
    """

    def __init__(self) -> None:
        self._pair = Backoff(free=4, max_s=900)
        self._address = Backoff(free=20, max_s=900)
        self._user = Backoff(free=50, max_s=8)

    def require(self, user: str, address: str, now_ns: int) -> None:
        """Refuse an attempt that comes too early. Raises Problem."""
        wait_s = max(
            self._pair.wait_s(f"{user} {address}", now_ns),
            self._address.wait_s(address, now_ns),
            self._user.wait_s(user, now_ns),
        )
        if wait_s > 0:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "TOO_MANY_LOGINS",
                f"too many logins failed; the next is looked at in {wait_s:.0f} s",
                remedy="wait, then try again",
                headers={"Retry-After": str(int(wait_s) + 1)},
            )

    def failed(self, user: str, address: str, now_ns: int) -> None:
        """An attempt is made; it counts as failed until it has succeeded."""
        self._pair.failed(f"{user} {address}", now_ns)
        self._address.failed(address, now_ns)
        self._user.failed(user, now_ns)

    def heard(self, user: str, address: str, now_ns: int) -> None:
        """An attempt failed at another gateway; `user` is "" for a name that no user has."""
        self._address.failed(address, now_ns)
        if user:
            self._pair.failed(f"{user} {address}", now_ns)
            self._user.failed(user, now_ns)

    def succeeded(self, user: str, address: str) -> None:
        """It was the right password."""
        self._pair.succeeded(f"{user} {address}")
        self._address.succeeded(address)
        self._user.succeeded(user)


class Logins:
    """Gives tokens for passwords and for refresh tokens."""

    def __init__(self, store: Store, passwords: Passwords, config: ApiConfig) -> None:
        self._store = store
        self._passwords = passwords
        self._config = config
        self.throttle = Throttle()

    async def login(self, user: str, password: str, address: str, now_ns: int) -> Tokens:
        """Tokens for the right password. Raises Problem, the same for every wrong one."""
        record = await self.require_password(user, password, address, now_ns)
        secret, session_id = hashing.new_secret(), hashing.new_id()
        session = Session(
            session_id, hashing.digest(secret), now_ns, self._end(now_ns), address
        )  # fmt: skip

        def add(old: Sessions | None) -> Sessions:
            if self._store.users.get(user) != record:
                raise _refused()  # a new password ends all logins: this one is not to outlive it
            kept = old.sessions if old is not None and old.user_id == record.user_id else ()
            alive = [s for s in kept if s.expires_ns > now_ns]
            return Sessions(record.user_id, (*alive[-(SESSIONS_MAX - 1) :], session))

        await self._store.change(SESSIONS + user, Sessions, add)
        return self._tokens(record, session_id, secret, now_ns)

    async def require_password(
        self, user: str, password: str, address: str, now_ns: int
    ) -> UserRecord:
        """The user as compared with. Raises Problem for a wrong password, or one too early."""
        self.throttle.require(user, address, now_ns)
        # Counted before it is compared: else many at once would all be the first.
        self.throttle.failed(user, address, now_ns)
        record = self._store.users.get(user)
        kept = record.password_hash if record is not None and record.is_enabled else ""
        is_right = await self._passwords.matches(kept, password)
        if record is None or not is_right or self._store.users.get(user) != record:
            raise _refused()
        self.throttle.succeeded(user, address)
        return record

    async def refresh(
        self, token: str, address: str, now_ns: int, *, from_browser: bool = False
    ) -> Tokens:
        """New tokens for a refresh token, which is spent by it. Raises Problem.

        One that was spent before has been copied: the whole login ends. Only a browser may send
        it twice at once, from two of its pages, and gets no further refresh token for it.
        """
        user, session_id, secret = _parts(token)
        record = self._store.users.get(user)
        if record is None or not record.is_enabled:
            raise _over()
        fresh = hashing.new_secret()
        raced = stolen = False

        def rotate(old: Sessions | None) -> Sessions | None:
            nonlocal raced, stolen
            raced = stolen = False
            found = _find(old, record.user_id, session_id)
            if old is None or found is None or found.expires_ns <= now_ns:
                raise _over()
            if not hashing.is_same(found.refresh_hash, secret):
                raced = from_browser and _is_race(found, secret, address, now_ns)
                stolen = not raced
                return old if raced else _without(old, session_id)
            renewed = msgspec.structs.replace(
                found,
                refresh_hash=hashing.digest(fresh),
                previous_hash=found.refresh_hash,
                rotated_ns=now_ns,
                expires_ns=self._end(now_ns),
                address=address,
            )
            others = (renewed if s.session_id == session_id else s for s in old.sessions)
            return Sessions(old.user_id, tuple(others))

        await self._store.change(SESSIONS + user, Sessions, rotate)
        if stolen:
            _log.warning("a refresh token of %s was used twice: its login has ended", user)
            raise _over()
        return self._tokens(record, session_id, "" if raced else fresh, now_ns)

    async def end(self, user: str, session_id: str) -> None:
        """End one login. Raises Problem."""
        await self._store.change(
            SESSIONS + user, Sessions, lambda old: _without(old, session_id) if old else None
        )

    async def end_with(self, token: str) -> None:
        """End the login that a refresh token belongs to, if it is a good one. Raises Problem."""
        user, session_id, secret = _parts(token)

        def leave(old: Sessions | None) -> Sessions | None:
            found = _find(old, old.user_id, session_id) if old is not None else None
            if old is None or found is None or not hashing.is_same(found.refresh_hash, secret):
                return old
            return _without(old, session_id)

        await self._store.change(SESSIONS + user, Sessions, leave)

    async def end_all(self, user: str, but: str = "") -> None:
        """End every login of `user`, save the one named `but`. Raises Problem."""

        def keep(old: Sessions | None) -> Sessions | None:
            if old is None:
                return None
            return Sessions(old.user_id, tuple(s for s in old.sessions if s.session_id == but))

        await self._store.change(SESSIONS + user, Sessions, keep)

    def _end(self, now_ns: int) -> int:
        return now_ns + self._config.session_days * DAY_NS

    def _tokens(self, record: UserRecord, session_id: str, secret: str, now_ns: int) -> Tokens:
        signing = self._store.signing
        assert signing is not None, "made at the start"
        claims = tokens.Claims(record.user, record.user_id, session_id)
        access = tokens.issue(signing.secret, claims, now_ns, self._config.token_s)
        refresh = f"{_PREFIX}.{record.user}.{session_id}.{secret}" if secret else ""
        return Tokens(access, refresh, record, session_id)


def _parts(token: str) -> tuple[str, str, str]:
    """(user, session, secret) of a refresh token. Raises Problem."""
    parts = token.split(".")
    if len(token) > tokens.LENGTH_MAX or len(parts) != 4 or parts[0] != _PREFIX:
        raise _over()
    return parts[1], parts[2], parts[3]


def _find(old: Sessions | None, user_id: str, session_id: str) -> Session | None:
    if old is None or old.user_id != user_id:
        return None
    return next((s for s in old.sessions if s.session_id == session_id), None)


def _is_race(session: Session, secret: str, address: str, now_ns: int) -> bool:
    return (
        hashing.is_same(session.previous_hash, secret)
        and session.address == address
        and now_ns - session.rotated_ns <= RACE_NS
    )


def _without(old: Sessions, session_id: str) -> Sessions:
    return Sessions(old.user_id, tuple(s for s in old.sessions if s.session_id != session_id))


def _refused() -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        REFUSED,
        "user or password is wrong",
        remedy="try again; an admin can set a new password",
    )


def _over() -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "LOGIN_OVER",
        "this login is over: its refresh token is unknown, expired, or was used before",
        remedy="log in again",
    )
