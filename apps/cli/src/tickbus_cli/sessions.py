"""Logins of people at this machine: one file for each gateway, for the owner's eyes alone.

A refresh token is good for one use, so whoever uses it holds the file's lock until the next one is
in it: two commands at once do not end each other's login.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from tickbus_cli.platforms import state_folder
from tickbus_client import ApiError, Client
from tickbus_client.answers.access import Tokens

EARLY_S = 30
"""A token is renewed so long before it ends: it has to last for a request."""
GONE = (401, 403)


class Session(msgspec.Struct, frozen=True):
    """A login; `ends_s` is when its access token is of no use, in seconds since 1970."""

    url: str
    user: str
    access_token: str
    refresh_token: str
    ends_s: float

    def __repr__(self) -> str:
        return f"Session({self.user!r} at {self.url})"


_read = msgspec.json.Decoder(Session).decode


def of(url: str, tokens: Tokens) -> Session:
    """The session that `tokens` began just now."""
    ends_s = time.time() + tokens.expires_in
    access, refresh = tokens.access_token or "", tokens.refresh_token or ""
    return Session(url, tokens.user, access, refresh, ends_s)


def file_of(url: str) -> Path:
    """Where the login at the gateway `url` is kept."""
    name = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
    return state_folder("sessions") / f"{name}.json"


def keep(session: Session) -> None:
    """Write it down in place of an earlier one."""
    with _locked(session.url, make=True) as file:
        assert file is not None  # it was made
        _write(file, session)


def known(url: str) -> Session | None:
    """The login at `url` as it is on file; None for none."""
    with _locked(url) as file:
        return None if file is None else _parse(file)


def forget(url: str) -> None:
    """Drop the login at `url`; there may be none."""
    file_of(url).unlink(missing_ok=True)


def token(url: str) -> str:
    """The access token for `url`, renewed where it ends soon; "" without a login.

    Raises TickbusError where it cannot be renewed; a login that is over is forgotten.
    """
    with _locked(url) as file:
        session = None if file is None else _parse(file)
        if file is None or session is None:
            return ""
        if session.ends_s - time.time() > EARLY_S:
            return session.access_token
        try:
            with Client(url, "") as desk:
                tokens = desk.access.refresh(session.refresh_token)
        except ApiError as error:
            if error.status not in GONE:
                raise
            forget(url)
            return ""
        _write(file, of(url, tokens))
        return tokens.access_token or ""


@contextmanager
def _locked(url: str, *, make: bool = False) -> Iterator[IO[bytes] | None]:
    path = file_of(url)
    flags = os.O_RDWR | os.O_CLOEXEC
    if make:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags |= os.O_CREAT
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        yield None
        return
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _parse(file: IO[bytes]) -> Session | None:
    try:
        return _read(file.read())
    except msgspec.DecodeError:
        return None  # cut off by a crash: as good as none


def _write(file: IO[bytes], session: Session) -> None:
    file.seek(0)
    file.truncate()
    file.write(msgspec.json.encode(session))
    file.flush()
