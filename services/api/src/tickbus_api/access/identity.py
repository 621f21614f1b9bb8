"""Who sends a request: a login's token, an API key, or whoever sits at this machine."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from tickbus.config import ConfigError
from tickbus_api.access import hashing, tokens
from tickbus_api.access.principal import (
    LOCAL,
    LOCAL_PRINCIPAL,
    SCOPES_OF,
    Principal,
    Via,
)
from tickbus_api.access.records import SESSIONS, KeyRecord, Sessions, UserRecord
from tickbus_api.access.store import Store
from tickbus_api.config import ApiConfig
from tickbus_api.problems import Problem, shown

Network = IPv4Network | IPv6Network
SESSION_COOKIE = "tickbus_session"
REFRESH_COOKIE = "tickbus_refresh"
KEY_PREFIX = "tbk"
_FORWARDED = (
    "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via",
)  # fmt: skip
"""Headers of a proxy: who sends through one may sit anywhere, whatever the headers say."""


class Credentials(NamedTuple):
    """A token and whether the browser added it by itself."""

    token: str
    is_cookie: bool


class Identity:
    """Tells who sends a request."""

    def __init__(self, store: Store, config: ApiConfig) -> None:
        self._store = store
        self._config = config
        self.is_local = config.access == LOCAL

    async def of(self, connection: HTTPConnection, now_ns: int) -> Principal:
        """Who sends it. Raises Problem for nobody, and for credentials that are not good."""
        given = credentials(connection)
        if given is not None and not given.is_cookie:
            return await self._bearer(connection, given.token, now_ns)
        if given is not None:
            found = await self._session(given.token, now_ns)
            if found is not None:
                self._require_own_page(connection)
                return found
        if self.is_local:
            self._require_here(connection)
            return LOCAL_PRINCIPAL
        raise unauthenticated(
            "nobody is logged in" if given is None else "this login has expired or is over"
        )

    def still(self, principal: Principal, now_ns: int) -> Principal:
        """Who opened what is open, as it is now, however old its token. Raises Problem."""
        record = self._store.users.get(principal.user)
        session = None
        if record is not None and record.is_enabled:
            session = self._store.session(record.user_id, principal.session_id)
        if record is None or session is None or session.expires_ns <= now_ns:
            raise unauthenticated("this login is over")
        return replace(principal, role=record.role, scopes=SCOPES_OF[record.role])

    async def _bearer(self, connection: HTTPConnection, token: str, now_ns: int) -> Principal:
        if token.startswith(f"{KEY_PREFIX}_"):
            return self._key(connection, token, now_ns)
        found = await self._session(token, now_ns)
        if found is None:
            raise unauthenticated("this access token is wrong, has expired, or its login is over")
        return found

    async def _session(self, token: str, now_ns: int) -> Principal | None:
        claims = tokens.read(self._store.secrets(now_ns), token, now_ns)
        if claims is None:
            return None
        record = self._store.users.get(claims.user)
        if record is None or not _is(record, claims.user_id):
            return None
        session = self._store.session(claims.user_id, claims.session_id)
        if session is None and not await self._is_new(claims):
            return None
        return Principal(
            user=record.user,
            role=record.role,  # as it is now, whatever it was at the login
            scopes=SCOPES_OF[record.role],
            via=Via.SESSION,
            session_id=claims.session_id,
        )

    async def _is_new(self, claims: tokens.Claims) -> bool:
        # A login of a moment ago, at another gateway, may not have come over the watch yet.
        now = await self._store.read(SESSIONS + claims.user, Sessions)
        return (
            now is not None
            and now.user_id == claims.user_id
            and any(session.session_id == claims.session_id for session in now.sessions)
        )

    def _key(self, connection: HTTPConnection, token: str, now_ns: int) -> Principal:
        _, key_id, secret = [*token.split("_", 2), "", ""][:3]
        key = self._store.keys.get(key_id)
        is_right = hashing.is_same(key.secret_hash if key else hashing.digest(""), secret)
        if key is None or not is_right:
            raise unauthenticated("there is no such API key, or it was taken back")
        if key.expires_ns and key.expires_ns <= now_ns:
            raise unauthenticated(f"the API key {key_id} has expired")
        if key.user == LOCAL and self.is_local:
            role = LOCAL_PRINCIPAL.role
        else:
            record = self._store.users.get(key.user)
            if record is None or not _is(record, key.user_id):
                raise unauthenticated(f"the user of the API key {key_id} is gone or disabled")
            role = record.role
        _require_network(connection, key)
        scopes = SCOPES_OF[role] & frozenset(key.scopes)
        return Principal(user=key.user, role=role, scopes=scopes, via=Via.KEY, key_id=key_id)

    def _require_here(self, connection: HTTPConnection) -> None:
        if not is_loopback(peer_of(connection)):
            raise unauthenticated("only what is sent from this machine itself needs no login")
        proxied = next((name for name in _FORWARDED if name in connection.headers), "")
        if proxied:
            raise unauthenticated(f"this came through a proxy (header {proxied})")
        name = host_of(connection)
        if not is_ours(name, self._config.hosts):
            # A foreign name that was made to point here: its page would read everything.
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "HOST_REFUSED",
                f"host: {shown(name)!r} is no name of this gateway",
                field="host",
                value=name,
                remedy="ask for 127.0.0.1 or localhost; a name of its own goes into `api.hosts`",
            )
        self._require_own_page(connection)

    def _require_own_page(self, connection: HTTPConnection) -> None:
        # The browser shows who it is by itself, also for a page of another port of this machine.
        site = connection.headers.get("sec-fetch-site", "none")
        allowed = connection.headers.get("origin", "") in self._config.cors_origins
        if site not in ("none", "same-origin") and not allowed and not _is_opened(connection):
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "ORIGIN_REFUSED",
                "origin: a page of another origin may not ask here",
                field="origin",
                value=connection.headers.get("origin", site),
                remedy="use the gateway's own page; an origin of its own goes into"
                " `api.cors_origins`",
            )


def credentials(connection: HTTPConnection) -> Credentials | None:
    """What a request shows of who sends it; None for nothing. Raises Problem."""
    header = connection.headers.get("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise unauthenticated("the header Authorization is not `Bearer <token or API key>`")
        return Credentials(token.strip(), is_cookie=False)
    cookie = connection.cookies.get(SESSION_COOKIE)
    return Credentials(cookie, is_cookie=True) if cookie else None


def key_id_of(connection: HTTPConnection) -> str | None:
    """What an API key that is shown is called; None where none is. It may be anything."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    prefix, _, rest = token.strip().partition("_")
    return rest.partition("_")[0] if scheme.lower() == "bearer" and prefix == KEY_PREFIX else None


def unauthenticated(detail: str) -> Problem:
    """That it is not known who asks (401)."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "UNAUTHENTICATED",
        detail,
        remedy="log in (POST /api/v1/auth/login), or send an API key as"
        " `Authorization: Bearer tbk_...`",
        headers={"WWW-Authenticate": 'Bearer realm="tickbus"'},
    )


def peer_of(connection: HTTPConnection) -> str:
    """The address at the other end of the socket, which may be a proxy's."""
    return connection.client.host if connection.client else ""


def address_of(connection: HTTPConnection) -> str:
    """Who sends: the peer, or whoever a proxy that is believed says (`sender`)."""
    address: str = connection.scope["state"]["address"]
    return address


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks such as 10.0.0.0/8. Raises ConfigError for what is none."""
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(
            f"api.trusted_proxies: {error}: give networks such as 10.0.0.0/8, or addresses"
        ) from None


def sender(connection: HTTPConnection, proxies: Sequence[Network]) -> str:
    """The peer's address; where that is one of `proxies`, whom it says that it asks for.

    Each proxy adds its own peer at the end of X-Forwarded-For, so that is read from its end, and
    only as far as those who wrote it are believed: what stands before is anybody's invention.
    """
    address = peer_of(connection)
    if not proxies:
        return address
    said = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
    while said and _is_within(address, proxies):
        further = said.pop().strip()
        try:
            address = str(ip_address(further))
        except ValueError:
            break
    return address


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def is_loopback(address: str) -> bool:
    """Whether it is an address of this machine that no other can send from."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return found.is_loopback


def network_of(address: str) -> str:
    """Whom to count failures for: an address, or of IPv6 the 64 bits that one site has."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and not found.ipv4_mapped:
        return str(ip_network((found, 64), strict=False))
    return address


def host_of(connection: HTTPConnection) -> str:
    """The name by which the gateway was asked for."""
    try:
        return urlsplit(f"//{connection.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def netloc_of(origin: str) -> str:
    """Host and port of an origin; "" for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def is_ours(name: str, hosts: tuple[str, ...]) -> bool:
    """Whether nobody else can make `name` point here: localhost, addresses, and `api.hosts`."""
    if name == "localhost" or name in hosts:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is(record: UserRecord, user_id: str) -> bool:
    return record.is_enabled and record.user_id == user_id


def _is_opened(connection: HTTPConnection) -> bool:
    # Somebody followed a link to here: the page opens in its own window, unread by the other.
    is_reading = connection.scope.get("method") in ("GET", "HEAD")
    return is_reading and connection.headers.get("sec-fetch-mode") == "navigate"


def _require_network(connection: HTTPConnection, key: KeyRecord) -> None:
    address = address_of(connection)
    if key.networks and not _is_within(address, [ip_network(net) for net in key.networks]):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "ADDRESS_REFUSED",
            f"the API key {key.key_id} may not be used from {shown(address or 'there')}",
            remedy="send from an address of the key's list, or make a key for this one",
        )
