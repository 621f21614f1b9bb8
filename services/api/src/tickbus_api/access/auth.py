"""Routes about who one is: log in, stay so, log out, a new password."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from msgspec.structs import replace
from pydantic import Field

from tickbus_api.access import hashing
from tickbus_api.access.identity import (
    REFRESH_COOKIE,
    SESSION_COOKIE,
    address_of,
    network_of,
)
from tickbus_api.access.logins import Tokens
from tickbus_api.access.needs import access_of, logged_in, open_to_all
from tickbus_api.access.principal import SCOPES_OF, Principal, Via
from tickbus_api.access.records import USER, UserRecord
from tickbus_api.orders import body_of
from tickbus_api.problems import Problem
from tickbus_api.views import View
from tickbus_api.wishing import body_schema, fields_of

router = APIRouter(prefix="/api/v1/auth", tags=["access"])
REFRESH_PATH = "/api/v1/auth"

_PASSWORD = {"type": "string", "format": "password"}
_LOGIN = body_schema(
    {"user": {"type": "string"}, "password": _PASSWORD}, ["user", "password"],
    {"user": "alice", "password": "correct horse battery staple"},
)  # fmt: skip
_NEW_PASSWORD = body_schema(
    {"current": _PASSWORD, "new": _PASSWORD}, ["current", "new"],
    {"current": "correct horse battery staple", "new": "another horse with a battery"},
)  # fmt: skip
_REFRESH: dict[str, Any] = body_schema(
    {"refresh_token": {"type": "string", "description": "a browser sends it as a cookie"}}, [],
    {"refresh_token": "tbr.alice.0123456789abcdef.secret"},
)  # fmt: skip
_REFRESH["requestBody"]["required"] = False


class TokensView(View):
    """What a login gives: to a browser as cookies that no script can read, else here."""

    user: str
    role: str
    expires_in: int = Field(description="seconds until the access token is of no use")
    token_type: str = "Bearer"  # noqa: S105 - the word, not a token
    access_token: str | None = None
    refresh_token: str | None = Field(
        default=None, description="for POST /api/v1/auth/refresh, good for one use"
    )


class MeView(View):
    """Who the gateway takes one for."""

    user: str
    role: str
    scopes: list[str]
    via: str = Field(description="session, key, or local: nobody logged in")
    local: bool
    key_id: str | None

    @classmethod
    def of(cls, principal: Principal) -> "MeView":
        """The view of `principal`."""
        return cls(
            user=principal.user,
            role=principal.role,
            scopes=sorted(principal.scopes),
            via=principal.via,
            local=principal.is_local,
            key_id=principal.key_id or None,
        )


class DoneView(View):
    """That it is done."""

    done: bool = True


@router.post("/login", openapi_extra=_LOGIN, dependencies=[open_to_all()])
async def login(request: Request, response: Response) -> TokensView:
    """Exchange user and password for tokens.

    401: one of them is wrong. 429: too many were. 503: logins cannot be kept now, or too many wait.
    """
    access = access_of(request)
    fields = fields_of(await body_of(request), ("user", "password"))
    user = _text("user", fields.get("user"), 64).lower()
    password = _text("password", fields.get("password"), hashing.LENGTH_MAX)
    if user in access.store.users:
        request.state.tried_user = user  # what is no user may be a password
    address = network_of(address_of(request))
    found = await access.logins.login(user, password, address, access.now_ns())
    return _answer(request, response, found)


@router.post("/refresh", openapi_extra=_REFRESH, dependencies=[open_to_all()])
async def refresh(request: Request, response: Response) -> TokensView:
    """Exchange a refresh token for new tokens. It can be used once.

    401: it is unknown, expired or was used before; in the last case the whole login is over.
    """
    access = access_of(request)
    token, is_cookie = await _refresh_token(request)
    if not token:
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "LOGIN_OVER",
            "there is no refresh token in this request",
            remedy="log in again",
        )
    address = network_of(address_of(request))
    found = await access.logins.refresh(token, address, access.now_ns(), from_browser=is_cookie)
    return _answer(request, response, found)


@router.post("/logout", openapi_extra=_REFRESH, dependencies=[open_to_all()])
async def logout(request: Request, response: Response) -> DoneView:
    """End this login, for its access and refresh tokens alike."""
    access = access_of(request)
    principal: Principal | None = request.state.principal
    token, _ = await _refresh_token(request)
    if principal is not None and principal.via is Via.SESSION:
        await access.logins.end(principal.user, principal.session_id)
    elif token:
        await access.logins.end_with(token)
    response.delete_cookie(SESSION_COOKIE, path="/")
    response.delete_cookie(REFRESH_COOKIE, path=REFRESH_PATH)
    return DoneView()


@router.get("/me", dependencies=[logged_in()])
async def me(request: Request) -> MeView:
    """Who the gateway takes one for, and what one may do."""
    return MeView.of(request.state.principal)


@router.post("/password", openapi_extra=_NEW_PASSWORD, dependencies=[logged_in()])
async def change_password(request: Request) -> DoneView:
    """Take another password. All other logins of the user end; API keys stay."""
    access = access_of(request)
    principal: Principal = request.state.principal
    if principal.via is not Via.SESSION:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "FORBIDDEN",
            "only who logged in with a password can change it",
            remedy="log in first; an admin can set a password with PATCH /api/v1/users/{user}",
        )
    fields = fields_of(await body_of(request), ("current", "new"))
    current = _text("current", fields.get("current"), hashing.LENGTH_MAX)
    new = _text("new", fields.get("new"), hashing.LENGTH_MAX)
    hashing.require_good("new", new, principal.user)
    address, now_ns = network_of(address_of(request)), access.now_ns()
    await access.logins.require_password(principal.user, current, address, now_ns)
    await set_password(request, principal.user, new, but=principal.session_id)
    return DoneView()


async def set_password(request: Request, user: str, password: str, but: str = "") -> None:
    """Keep another password of `user`, and end all logins, save the one named `but`.

    Raises Problem.
    """
    access = access_of(request)
    kept = await access.passwords.hash(password)

    def edit(old: UserRecord | None) -> UserRecord | None:
        return None if old is None else replace(old, password_hash=kept)

    await access.store.change(USER + user, UserRecord, edit)
    await access.logins.end_all(user, but)


def _answer(request: Request, response: Response, found: Tokens) -> TokensView:
    access = access_of(request)
    record = found.user
    request.state.logged_in = Principal(
        user=record.user, role=record.role, scopes=SCOPES_OF[record.role], via=Via.SESSION,
        session_id=found.session_id,
    )  # fmt: skip
    config = access.config
    view = TokensView(user=record.user, role=record.role, expires_in=config.token_s)
    if not _is_own_page(request):
        shown = {"access_token": found.access, "refresh_token": found.refresh or None}
        return view.model_copy(update=shown)
    _set_cookie(response, SESSION_COOKIE, found.access, "/", config.token_s, config.cookies_secure)
    if found.refresh:
        age_s = config.session_days * 86_400
        _set_cookie(
            response, REFRESH_COOKIE, found.refresh, REFRESH_PATH, age_s, config.cookies_secure
        )
    return view


def _is_own_page(request: Request) -> bool:
    # A browser says of which page a request is; the guard let it pass, so it is ours, or one that
    # is configured: that one gets no cookies, as it could not send them.
    origin = request.headers.get("origin")
    return origin is not None and origin not in access_of(request).config.cors_origins


def _set_cookie(
    response: Response, name: str, value: str, path: str, age_s: int, secure: bool
) -> None:
    response.set_cookie(
        name, value, max_age=age_s, path=path, secure=secure, httponly=True, samesite="strict"
    )


async def _refresh_token(request: Request) -> tuple[str, bool]:
    """The refresh token of a request, "" without one, and whether it is a browser's cookie."""
    body = await body_of(request)
    if body.strip():
        fields = fields_of(body, ("refresh_token",))
        if fields.get("refresh_token") is not None:
            return _text("refresh_token", fields["refresh_token"], 2_000), False
    return request.cookies.get(REFRESH_COOKIE, ""), True


def _text(field: str, value: Any, length_max: int) -> str:
    """A text that is not shown, whatever is wrong with it. Raises Problem."""
    if isinstance(value, str) and 0 < len(value) <= length_max:
        return value
    raise Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "MISSING_FIELD" if value is None else "INVALID_VALUE",
        f"{field}: must be a text of 1 to {length_max} characters",
        field=field,
        remedy=f"give {field} as words in quotes",
    )
