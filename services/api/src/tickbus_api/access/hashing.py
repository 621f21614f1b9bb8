"""Passwords as argon2id, random tokens as SHA-256, and what a password must be."""

import asyncio
import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Callable
from typing import TypeVar

import argon2

from tickbus_api.problems import invalid, unavailable

LENGTH_MIN = 12
LENGTH_MAX = 256
WAITING_MAX = 16
"""Passwords that may wait to be looked at; each takes about 0.1 s and 64 MiB, one at a time."""
SECRET_BYTES = 32
T = TypeVar("T")


class Passwords:
    """Makes and compares password hashes, off the loop and one at a time."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher(
            time_cost=3, memory_cost=64 * 1024, parallelism=1
        )
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._nobodys = ""

    async def hash(self, password: str) -> str:
        """What is kept of `password`. Raises Problem when too many wait."""
        return await self._work(lambda: self._hasher.hash(normal(password)))

    async def matches(self, kept: str, password: str) -> bool:
        """Whether `kept` was made of `password`; "" takes as long, and is of none.

        Raises Problem when too many wait.
        """
        if not self._nobodys:
            self._nobodys = await self.hash(secrets.token_urlsafe())
        is_same = await self._work(lambda: self._compare(kept or self._nobodys, password))
        return is_same and kept != ""

    def _compare(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, normal(password))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _work(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise unavailable(
                "LOGIN_BUSY", "too many passwords wait to be compared", "try again in a few seconds"
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def normal(password: str) -> str:
    """`password` however the keyboard composed its letters, and never too long to hash."""
    return unicodedata.normalize("NFKC", password[: LENGTH_MAX + 1])


def require_good(field: str, password: str, user: str) -> None:
    """Refuse a password that is too easy to guess. Raises Problem, which does not show it."""
    problem = weakness(password, user)
    if problem:
        raise invalid(field, None, problem, f"take at least {LENGTH_MIN} characters, such as words")


def weakness(password: str, user: str) -> str:
    """Why `password` cannot be one of `user`; "" when it can."""
    if len(password) < LENGTH_MIN:
        return f"has fewer than {LENGTH_MIN} characters"
    if len(password) > LENGTH_MAX:
        return f"has more than {LENGTH_MAX} characters"
    if len(set(password)) < 5:
        return "repeats too few characters"
    if user and user in password.lower() and len(password) < LENGTH_MIN + len(user):
        return "is little more than the name of the user"
    return ""


def new_secret() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(SECRET_BYTES)


def new_id() -> str:
    """A name for a key, a login or a user that no other has; no secret."""
    return secrets.token_hex(8)


def digest(secret: str) -> str:
    """What is kept of a random secret; it needs no slow hash, as nobody guesses 256 bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_same(kept: str, secret: str) -> bool:
    """Whether `kept` is the digest of `secret`, in the same time for any `secret`."""
    return hmac.compare_digest(kept, digest(secret))
