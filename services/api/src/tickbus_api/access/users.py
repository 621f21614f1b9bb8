"""Routes about users, for admins: who they are, what they may do, new ones, none any more."""

import re
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from msgspec.structs import replace
from pydantic import Field

from tickbus_api.access import hashing
from tickbus_api.access.access import Access
from tickbus_api.access.auth import DoneView, set_password
from tickbus_api.access.needs import ADMIN, access_of
from tickbus_api.access.principal import LOCAL, SCOPES_OF, Principal, Role
from tickbus_api.access.records import SESSIONS, USER, Sessions, UserRecord
from tickbus_api.orders import body_of
from tickbus_api.parsing import choice
from tickbus_api.problems import Problem, invalid, shown
from tickbus_api.views import View, iso
from tickbus_api.wishing import body_schema, fields_of

router = APIRouter(prefix="/api/v1/users", tags=["access"])
USERS_MAX = 1_000

UserName = Annotated[str, Path(max_length=32)]
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_ROLE = {"type": "string", "enum": list(Role)}
_PASSWORD = {"type": "string", "format": "password"}
_NEW = body_schema(
    {"user": {"type": "string"}, "role": _ROLE,
     "password": {**_PASSWORD, "description": "without it, a random one is in the answer, once"}},
    ["user", "role"], {"user": "bob", "role": "trader"},
)  # fmt: skip
_CHANGES = body_schema(
    {"role": _ROLE, "password": _PASSWORD, "is_enabled": {"type": "boolean"}}, [],
    {"role": "viewer"},
)  # fmt: skip


class UserView(View):
    """A user."""

    user: str
    role: str
    scopes: list[str]
    is_enabled: bool
    created_at: str | None

    @classmethod
    def of(cls, record: UserRecord) -> "UserView":
        """The view of `record`."""
        return cls(
            user=record.user,
            role=record.role,
            scopes=sorted(SCOPES_OF[record.role]),
            is_enabled=record.is_enabled,
            created_at=iso(record.created_ns),
        )


class NewUserView(UserView):
    """A user that was just made."""

    password: str | None = Field(description="when it is random: shown once, kept nowhere")


class UsersView(View):
    """Every user, by name."""

    users: list[UserView]


@router.get("", dependencies=ADMIN)
async def users(request: Request) -> UsersView:
    """Every user, with role and scopes."""
    found = access_of(request).store.users
    return UsersView(users=[UserView.of(found[name]) for name in sorted(found)])


@router.post("", status_code=201, openapi_extra=_NEW, dependencies=ADMIN)
async def create(request: Request) -> NewUserView:
    """Make a user. 409: there is one of that name."""
    access = access_of(request)
    fields = fields_of(await body_of(request), ("user", "role", "password"))
    name = _name(fields.get("user"))
    role = choice("role", fields.get("role"), Role)
    given = fields.get("password")
    if given is not None:
        _require_password(given, name)
    if len(access.store.users) >= USERS_MAX:
        raise Problem(
            HTTPStatus.CONFLICT, "TOO_MANY_USERS", f"there are {USERS_MAX} users",
            remedy="remove those who are gone",
        )  # fmt: skip
    password = given or hashing.new_secret()[:24]
    kept = await access.passwords.hash(password)
    made = UserRecord(name, hashing.new_id(), role, kept, access.now_ns())

    def add(old: UserRecord | None) -> UserRecord:
        if old is not None:
            raise Problem(
                HTTPStatus.CONFLICT, "USER_EXISTS", f"user: there is a user {name!r}",
                field="user", value=name, remedy="choose another name, or change that user",
            )  # fmt: skip
        return made

    await access.store.change(USER + name, UserRecord, add)
    return NewUserView(
        **UserView.of(made).model_dump(), password=None if given is not None else password
    )


@router.get("/{user}", dependencies=ADMIN)
async def one(request: Request, user: UserName) -> UserView:
    """One user, with role and scopes."""
    return UserView.of(_known(access_of(request), user))


@router.patch("/{user}", openapi_extra=_CHANGES, dependencies=ADMIN)
async def change(request: Request, user: UserName) -> UserView:
    """Change role or password of a user, or keep them out. It holds at once, also for logins.

    A new password, or being kept out, ends all logins. 409: it would leave no admin.
    """
    access = access_of(request)
    _known(access, user)
    fields = fields_of(await body_of(request), ("role", "password", "is_enabled"))
    if not fields:
        raise invalid("body", "{}", "changes nothing", "give role, password or is_enabled")
    role = choice("role", fields["role"], Role) if "role" in fields else None
    is_enabled = _flag(fields["is_enabled"]) if "is_enabled" in fields else None
    if "password" in fields:
        _require_password(fields["password"], user)

    def edit(old: UserRecord | None) -> UserRecord:
        if old is None:
            raise _unknown(user)
        changed = replace(
            old,
            role=old.role if role is None else role,
            is_enabled=old.is_enabled if is_enabled is None else is_enabled,
        )
        if access.is_admin(old) and not access.is_admin(changed):
            _require_another_admin(access, user)
        return changed

    await access.store.change(USER + user, UserRecord, edit)
    if "password" in fields:
        await set_password(request, user, fields["password"])
    elif is_enabled is False:
        await access.logins.end_all(user)
    return UserView.of(_known(access, user))


@router.delete("/{user}", dependencies=ADMIN)
async def delete(request: Request, user: UserName) -> DoneView:
    """Remove a user with all logins and API keys. 409: it would leave no admin."""
    access = access_of(request)
    record = _known(access, user)
    principal: Principal = request.state.principal
    if principal.user == user:
        raise Problem(
            HTTPStatus.CONFLICT, "ONESELF", "user: one does not remove oneself",
            field="user", value=user, remedy="have another admin do it",
        )  # fmt: skip

    def drop(old: UserRecord | None) -> None:
        if old is not None and access.is_admin(old):
            _require_another_admin(access, user)

    await access.store.change(USER + user, UserRecord, drop)
    # Without the user they are of no use to anybody; they are removed to be gone.
    await access.store.change(SESSIONS + user, Sessions, lambda _: None)
    for key in [key for key in access.store.keys.values() if key.user_id == record.user_id]:
        await access.store.remove_key(key.key_id)
    return DoneView()


def _known(access: Access, user: str) -> UserRecord:
    record = access.store.users.get(user)
    if record is None:
        raise _unknown(user)
    return record


def _unknown(user: str) -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND, "UNKNOWN_USER", f"there is no user {shown(user)!r}",
        field="user", value=user, remedy="GET /api/v1/users lists them",
    )  # fmt: skip


def _require_another_admin(access: Access, user: str) -> None:
    others = (record for name, record in access.store.users.items() if name != user)
    if not any(access.is_admin(record) for record in others):
        raise Problem(
            HTTPStatus.CONFLICT, "LAST_ADMIN", f"user: {user} is the only admin",
            field="user", value=user, remedy="make another user an admin first",
        )  # fmt: skip


def _name(value: Any) -> str:
    remedy = "use 1 to 32 small letters, digits, - and _, a letter or digit first"
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise invalid("user", value, "is no name of a user", remedy)
    if value == LOCAL:
        raise invalid("user", value, "stands for whoever is at this machine", "choose another")
    return value


def _require_password(value: Any, user: str) -> None:
    if not isinstance(value, str):
        raise invalid("password", None, "must be a text", "give password as words in quotes")
    hashing.require_good("password", value, user)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise invalid("is_enabled", value, "must be true or false", "give one of them")
    return value
