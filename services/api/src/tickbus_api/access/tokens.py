"""Access tokens: short-lived, signed, and of no use once the login that they belong to ended."""

from collections.abc import Iterable
from typing import NamedTuple

import jwt

ALGORITHM = "HS256"
ISSUER = "tickbus"
AUDIENCE = "tickbus-api"
LENGTH_MAX = 2_000
NS_PER_S = 1_000_000_000
_REQUIRED = ["sub", "uid", "sid", "exp", "iss", "aud"]


class Claims(NamedTuple):
    """Whose token it is, and of which login."""

    user: str
    user_id: str
    session_id: str


def issue(secret: bytes, claims: Claims, now_ns: int, lifetime_s: int) -> str:
    """A token good for `lifetime_s` seconds from `now_ns` (ns UTC) on."""
    payload = {
        "sub": claims.user,
        "uid": claims.user_id,
        "sid": claims.session_id,
        "iat": now_ns // NS_PER_S,
        "exp": now_ns // NS_PER_S + lifetime_s,
        "iss": ISSUER,
        "aud": AUDIENCE,
    }
    return jwt.encode(payload, secret, ALGORITHM)


def read(secrets: Iterable[bytes], token: str, now_ns: int) -> Claims | None:
    """The claims of a token that one of `secrets` signed and that has not expired; else None."""
    if len(token) > LENGTH_MAX:
        return None
    found = (_read(secret, token, now_ns) for secret in secrets)
    return next((claims for claims in found if claims is not None), None)


def _read(secret: bytes, token: str, now_ns: int) -> Claims | None:
    try:
        # The time is ours to judge, by the clock that the whole platform uses.
        found = jwt.decode(
            token, secret, [ALGORITHM], issuer=ISSUER, audience=AUDIENCE,
            options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
        )  # fmt: skip
        if int(found["exp"]) * NS_PER_S <= now_ns:
            return None
        return Claims(str(found["sub"]), str(found["uid"]), str(found["sid"]))
    except (jwt.InvalidTokenError, ValueError, TypeError):
        return None
