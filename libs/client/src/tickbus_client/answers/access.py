"""Answers about who may use the gateway; what is secret in them is not in their repr."""

from datetime import datetime

from tickbus_client.answers.base import Answer


class Tokens(Answer, frozen=True, kw_only=True):
    """What a login gives; the access token is of no use after `expires_in` seconds.

    `refresh_token` is good for one use.
    """

    user: str
    role: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the word, not a token
    access_token: str | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"Tokens(user={self.user!r}, role={self.role!r}, …)"


class Me(Answer, frozen=True, kw_only=True):
    """Who the gateway takes one for; `via` is session, key, or local: nobody logged in."""

    user: str
    role: str
    scopes: tuple[str, ...]
    via: str
    local: bool
    key_id: str | None


class Done(Answer, frozen=True, kw_only=True):
    """That it is done."""

    done: bool = True


class Signing(Answer, frozen=True, kw_only=True):
    """Since when another secret signs access tokens, and until when those of before are good.

    `earlier_until` is None where they are no good any more.
    """

    signs_since: datetime | None
    earlier_until: datetime | None


class User(Answer, frozen=True, kw_only=True):
    """A user."""

    user: str
    role: str
    scopes: tuple[str, ...]
    is_enabled: bool
    created_at: datetime | None


class NewUser(User, frozen=True, kw_only=True):
    """A user that was just made; `password` is there when it is random, here and nowhere else."""

    password: str | None

    def __repr__(self) -> str:
        return f"NewUser(user={self.user!r}, role={self.role!r}, …)"


class Users(Answer, frozen=True, kw_only=True):
    """Every user, by name."""

    users: tuple[User, ...]


class Key(Answer, frozen=True, kw_only=True):
    """An API key, without its secret: that is kept nowhere.

    `networks` (CIDR) may use it, all where there are none. `last_used_at` is to the minute.
    """

    id: str
    user: str
    name: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    created_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_from: str | None


class NewKey(Key, frozen=True, kw_only=True):
    """A key that was just made; `key` is shown here and nowhere else."""

    key: str

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r}, user={self.user!r}, …)"


class Keys(Answer, frozen=True, kw_only=True):
    """API keys, oldest first."""

    keys: tuple[Key, ...]
