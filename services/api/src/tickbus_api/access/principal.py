"""Who asks, and what they may: roles are sets of scopes, and each route wants one scope."""

from dataclasses import dataclass
from enum import StrEnum

LOCAL = "local"
"""The user that a request from this machine is, where `api.access` is `local`."""


class Scope(StrEnum):
    """What a route wants of whoever asks."""

    READ = "read"
    TRADE = "trade"
    STRATEGIES = "strategies"
    RISK = "risk"
    ADMIN = "admin"


class Role(StrEnum):
    """What a user is; see `SCOPES_OF`."""

    VIEWER = "viewer"
    TRADER = "trader"
    ADMIN = "admin"


SCOPES_OF: dict[Role, frozenset[Scope]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    # Who trades may stop everything, too; to let it go on again is risk's.
    Role.TRADER: frozenset({Scope.READ, Scope.TRADE, Scope.STRATEGIES}),
    Role.ADMIN: frozenset(Scope),
}


class Via(StrEnum):
    """How somebody showed who they are."""

    LOCAL = "local"
    SESSION = "session"
    KEY = "key"


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who sent a request: `scopes` are those of the role, or fewer where a key has fewer.

    `key_id` is that of the API key, "" without one; `session_id` that of the login, "" without one.
    """

    user: str
    role: Role
    scopes: frozenset[Scope]
    via: Via
    key_id: str = ""
    session_id: str = ""

    @property
    def is_local(self) -> bool:
        """Whether nobody logged in: it is whoever sits at this machine."""
        return self.via is Via.LOCAL

    @property
    def name(self) -> str:
        """The user, with the key where there is one: how it is put on record."""
        return f"{self.user}/{self.key_id}" if self.key_id else self.user


LOCAL_PRINCIPAL = Principal(
    user=LOCAL, role=Role.ADMIN, scopes=SCOPES_OF[Role.ADMIN], via=Via.LOCAL
)
