"""What the bucket `access` holds: users, API keys, logins, and the key that signs tokens.

New fields go last with a default. Nothing here is a secret that opens anything, but for
`SigningKey`: passwords are kept as argon2id, keys and refresh tokens as SHA-256.
"""

import msgspec

from tickbus_api.access.principal import Role, Scope

SIGNING = "signing"
USER = "user."
KEY = "key."
SESSIONS = "sessions."
USED = "used."


class Record(msgspec.Struct, frozen=True):
    """The base of what the bucket holds; it shows nothing of itself, so that no log does."""

    def __repr__(self) -> str:
        """The type alone."""
        return f"<{type(self).__name__}>"


class UserRecord(Record, frozen=True):
    """A user; `user_id` tells it from another who had the name before. Times are ns UTC."""

    user: str
    user_id: str
    role: Role
    password_hash: str
    created_ns: int
    is_enabled: bool = True


class KeyRecord(Record, frozen=True):
    """An API key of the user `user_id`; `expires_ns` 0 is never, no `networks` are all (CIDR)."""

    key_id: str
    user: str
    user_id: str
    name: str
    scopes: tuple[Scope, ...]
    secret_hash: str
    created_ns: int
    expires_ns: int = 0
    networks: tuple[str, ...] = ()


class Session(Record, frozen=True):
    """One login: the refresh token that is good now, and the one that was before it."""

    session_id: str
    refresh_hash: str
    created_ns: int
    expires_ns: int
    address: str
    previous_hash: str = ""
    rotated_ns: int = 0


class Sessions(Record, frozen=True):
    """The logins of the user `user_id`, oldest first."""

    user_id: str
    sessions: tuple[Session, ...] = ()


class Used(Record, frozen=True):
    """When and from where an API key was last used."""

    ts: int
    address: str


class EarlierKey(Record, frozen=True):
    """A secret that signs no more; what it has signed is good until `until_ns`."""

    secret: bytes
    until_ns: int


class SigningKey(Record, frozen=True):
    """The secret with which all gateways sign access tokens, and those before it, newest first."""

    secret: bytes
    created_ns: int
    earlier: tuple[EarlierKey, ...] = ()
