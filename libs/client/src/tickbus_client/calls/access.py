"""Calls about who may use the gateway: logins, users, API keys."""

from collections.abc import Sequence
from typing import Literal

from msgspec import UNSET

from tickbus_client.answers.access import (
    Done,
    Keys,
    Me,
    NewKey,
    NewUser,
    Signing,
    Tokens,
    User,
    Users,
)
from tickbus_client.call import Call, When, unless_empty, written

Role = Literal["viewer", "trader", "admin"]
Scope = Literal["read", "trade", "strategies", "risk", "admin"]
_AUTH, _USERS, _KEYS = "/api/v1/auth", "/api/v1/users", "/api/v1/keys"


def login(user: str, password: str) -> Call[Tokens]:
    """Exchange user and password for tokens; too many wrong ones are held back."""
    body = {"user": user, "password": password}
    return Call("POST", f"{_AUTH}/login", Tokens, body=body)


def refresh(refresh_token: str) -> Call[Tokens]:
    """Exchange a refresh token for new tokens; used twice, it ends the whole login."""
    return Call("POST", f"{_AUTH}/refresh", Tokens, body={"refresh_token": refresh_token})


def logout(refresh_token: str = "") -> Call[Done]:
    """End the login of whoever asks, or that of a refresh token."""
    body = {"refresh_token": unless_empty(refresh_token)}
    return Call("POST", f"{_AUTH}/logout", Done, body=body)


def me() -> Call[Me]:
    """Who the gateway takes one for, and what one may do."""
    return Call("GET", f"{_AUTH}/me", Me)


def change_password(current: str, new: str) -> Call[Done]:
    """Take another password; all other logins of the user end, API keys stay."""
    return Call("POST", f"{_AUTH}/password", Done, body={"current": current, "new": new})


def rotate_signing_key(*, at_once: bool = False) -> Call[Signing]:
    """Sign access tokens with a new secret; what was signed before expires by itself.

    With `at_once` it is of no use any more, and logins go on with their refresh tokens.
    """
    return Call("POST", f"{_AUTH}/signing-key", Signing, body={"at_once": at_once})


def users() -> Call[Users]:
    """Every user, with role and scopes."""
    return Call("GET", _USERS, Users)


def user(user: str) -> Call[User]:
    """One user, with role and scopes."""
    return Call("GET", f"{_USERS}/{{user}}", User, names={"user": user})


def create_user(user: str, role: Role, *, password: str = "") -> Call[NewUser]:
    """Make a user; without a `password` a random one is in the answer."""
    body = {"user": user, "role": role, "password": unless_empty(password)}
    return Call("POST", _USERS, NewUser, body=body)


def change_user(
    user: str, *, role: Role | None = None, password: str = "", is_enabled: bool | None = None
) -> Call[User]:
    """Change role or password of a user, or keep them out; it holds at once, also for logins."""
    body = {
        "role": UNSET if role is None else role,
        "password": unless_empty(password),
        "is_enabled": UNSET if is_enabled is None else is_enabled,
    }
    return Call("PATCH", f"{_USERS}/{{user}}", User, names={"user": user}, body=body)


def delete_user(user: str) -> Call[Done]:
    """Remove a user with all logins and API keys."""
    return Call("DELETE", f"{_USERS}/{{user}}", Done, names={"user": user})


def keys(user: str = "") -> Call[Keys]:
    """One's own API keys; an admin sees those of another `user`, or of all: "*"."""
    return Call("GET", _KEYS, Keys, query={"user": user})


def create_key(
    name: str, scopes: Sequence[Scope], *, expires_at: When | None = None,
    networks: Sequence[str] = (), user: str = "",
) -> Call[NewKey]:  # fmt: skip
    """Make an API key for what `name` says; its secret is in the answer and nowhere else.

    Without `expires_at` it does not end; without `networks` (CIDR) it may be used from anywhere.
    An admin makes keys for another `user`.
    """
    body = {
        "name": name,
        "scopes": list(scopes),
        "expires_at": unless_empty(written(expires_at)),
        "networks": list(networks) or UNSET,
        "user": unless_empty(user),
    }
    return Call("POST", _KEYS, NewKey, body=body)


def delete_key(key_id: str) -> Call[Done]:
    """Take back an API key, at once and for good."""
    return Call("DELETE", f"{_KEYS}/{{key_id}}", Done, names={"key_id": key_id})
