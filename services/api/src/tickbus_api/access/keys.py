"""Routes about API keys: for programs, with few scopes, an end and known addresses."""

from http import HTTPStatus
from ipaddress import ip_network
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from tickbus_api.access import hashing
from tickbus_api.access.access import Access
from tickbus_api.access.auth import DoneView
from tickbus_api.access.identity import KEY_PREFIX
from tickbus_api.access.needs import access_of, logged_in, require
from tickbus_api.access.principal import LOCAL, SCOPES_OF, Principal, Role, Scope, Via
from tickbus_api.access.records import KEY, KeyRecord, Used
from tickbus_api.orders import body_of
from tickbus_api.parsing import choice, moment
from tickbus_api.problems import Problem, invalid, shown
from tickbus_api.views import View, iso
from tickbus_api.wishing import body_schema, fields_of, words

router = APIRouter(prefix="/api/v1/keys", tags=["access"])
KEYS_MAX = 100
"""Keys of one user."""
NETWORKS_MAX = 32
NAME_MAX = 100

KeyId = Annotated[str, Path(max_length=64)]
_NEW = body_schema(
    {
        "name": {"type": "string", "description": "what it is for"},
        "scopes": {"type": "array", "items": {"type": "string", "enum": list(Scope)}},
        "expires_at": {
            "type": "string", "format": "date-time", "description": "without it, never",
        },
        "networks": {
            "type": "array", "items": {"type": "string"},
            "description": "addresses that may use it, as CIDR; without them, all",
        },
        "user": {"type": "string", "description": "whose key, for admins; else one's own"},
    },
    ["name", "scopes"],
    {"name": "report", "scopes": ["read"], "networks": ["10.0.0.0/8"]},
)  # fmt: skip


class KeyView(View):
    """An API key, without its secret: that is kept nowhere."""

    id: str
    user: str
    name: str
    scopes: list[str]
    networks: list[str] = Field(description="who may use it; empty: all")
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None = Field(description="to the minute")
    last_used_from: str | None

    @classmethod
    def of(cls, key: KeyRecord, used: Used | None) -> "KeyView":
        """The view of `key`."""
        return cls(
            id=key.key_id,
            user=key.user,
            name=key.name,
            scopes=[str(scope) for scope in key.scopes],
            networks=list(key.networks),
            created_at=iso(key.created_ns),
            expires_at=iso(key.expires_ns),
            last_used_at=iso(used.ts) if used else None,
            last_used_from=used.address if used else None,
        )


class NewKeyView(KeyView):
    """A key that was just made."""

    key: str = Field(description="Authorization: Bearer <key>; shown once")


class KeysView(View):
    """API keys, oldest first."""

    keys: list[KeyView]


@router.get("", dependencies=[logged_in()])
async def keys(
    request: Request,
    user: Annotated[str, Query(max_length=32, description="whose, for admins; * is all")] = "",
) -> KeysView:
    """One's own API keys; an admin sees those of others, too."""
    access, principal = access_of(request), request.state.principal
    wanted = user or principal.user
    if wanted != principal.user:
        require(principal, Scope.ADMIN)
    found = [key for key in access.store.keys.values() if wanted in ("*", key.user)]
    found.sort(key=lambda key: key.created_ns)
    return KeysView(keys=[KeyView.of(key, access.store.used.get(key.key_id)) for key in found])


@router.post("", status_code=201, openapi_extra=_NEW, dependencies=[logged_in()])
async def create(request: Request) -> NewKeyView:
    """Make an API key. Its secret is in this answer and nowhere else.

    It may never do more than its user, whatever that user may do later, nor more than who makes it.
    """
    access, principal = access_of(request), request.state.principal
    _require_person(principal)
    fields = fields_of(await body_of(request), ("name", "scopes", "expires_at", "networks", "user"))
    name = words("name", fields.get("name"))[:NAME_MAX]
    owner, user_id, role = _owner(access, principal, fields.get("user"))
    scopes = _scopes(fields.get("scopes"))
    require(principal, *scopes)
    excess = [scope for scope in scopes if scope not in SCOPES_OF[role]]
    if excess:
        raise invalid(
            "scopes", ", ".join(excess), f"{owner} is a {role} and may not", "leave them out"
        )
    now_ns = access.now_ns()
    expires_ns = _expiry(fields.get("expires_at"), now_ns)
    secret = hashing.new_secret()
    made = KeyRecord(
        hashing.new_id(), owner, user_id, name, scopes, hashing.digest(secret), now_ns, expires_ns,
        _networks(fields.get("networks")),
    )  # fmt: skip
    if sum(key.user_id == user_id for key in access.store.keys.values()) >= KEYS_MAX:
        raise Problem(
            HTTPStatus.CONFLICT, "TOO_MANY_KEYS", f"{owner} has {KEYS_MAX} keys",
            remedy="take back those that nobody uses",
        )  # fmt: skip
    await access.store.change(KEY + made.key_id, KeyRecord, lambda _: made)
    text = f"{KEY_PREFIX}_{made.key_id}_{secret}"
    return NewKeyView(**KeyView.of(made, None).model_dump(), key=text)


@router.delete("/{key_id}", dependencies=[logged_in()])
async def delete(request: Request, key_id: KeyId) -> DoneView:
    """Take back an API key, at once and for good: one's own, as an admin anybody's."""
    access, principal = access_of(request), request.state.principal
    key = access.store.keys.get(key_id)
    if key is None or (key.user != principal.user and Scope.ADMIN not in principal.scopes):
        raise Problem(  # also for those of others: who may not see them learns nothing
            HTTPStatus.NOT_FOUND, "UNKNOWN_KEY", f"there is no API key {shown(key_id)!r}",
            field="id", value=key_id, remedy="GET /api/v1/keys lists them",
        )  # fmt: skip
    if principal.key_id != key_id:  # a program may give up its own key
        _require_person(principal)
    await access.store.remove_key(key_id)
    return DoneView()


def _require_person(principal: Principal) -> None:
    # Else who finds a key that ends, or is for few addresses, makes one that does not.
    if principal.via is Via.KEY and Scope.ADMIN not in principal.scopes:
        raise Problem(
            HTTPStatus.FORBIDDEN, "FORBIDDEN", "an API key makes and removes no API keys",
            remedy="log in, or use a key with the scope admin",
        )  # fmt: skip


def _owner(access: Access, principal: Principal, given: Any) -> tuple[str, str, Role]:
    """(name, id, role) of whose key it is to be. Raises Problem."""
    name = principal.user if given is None else words("user", given)
    if name != principal.user:
        require(principal, Scope.ADMIN)
    if name == LOCAL and access.identity.is_local:
        return LOCAL, LOCAL, Role.ADMIN
    record = access.store.users.get(name)
    if record is None:
        raise invalid("user", name, "there is no such user", "GET /api/v1/users lists them")
    return record.user, record.user_id, record.role


def _scopes(value: Any) -> tuple[Scope, ...]:
    remedy = f"give a list of {', '.join(Scope)}"
    if not isinstance(value, list) or not value:
        raise invalid("scopes", value, "must be a list of at least one scope", remedy)
    wanted = {choice("scopes", item, Scope) for item in value}
    return tuple(scope for scope in Scope if scope in wanted)


def _expiry(value: Any, now_ns: int) -> int:
    expires_ns = moment("expires_at", value)
    if value is not None and expires_ns <= now_ns:
        raise invalid("expires_at", value, "is over already", "give a time to come")
    return expires_ns


def _networks(value: Any) -> tuple[str, ...]:
    remedy = 'give a list such as ["10.0.0.0/8", "2001:db8::/32"]'
    if value is None:
        return ()
    if not isinstance(value, list) or not 0 < len(value) <= NETWORKS_MAX:
        raise invalid("networks", value, f"must be a list of 1 to {NETWORKS_MAX}", remedy)
    found = []
    for item in value:
        try:
            found.append(str(ip_network(item if isinstance(item, str) else "")))
        except ValueError as error:
            raise invalid("networks", item, str(error), remedy) from None
    return tuple(found)
