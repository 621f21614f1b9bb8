"""Who one is to the gateway: an API key, a login, or what a caller says afresh each time."""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tickbus_client.answers.access import Tokens
from tickbus_client.errors import ApiError, TickbusError

URL = "TICKBUS_API_URL"
URL_DEFAULT = "http://127.0.0.1:8080"
KEY = "TICKBUS_API_KEY"
KEY_FILE = "TICKBUS_API_KEY_FILE"

EARLY_S = 30.0
"""A login is renewed so long before it ends, and in the last quarter of a shorter one."""
UNAUTHENTICATED = "UNAUTHENTICATED"
OVER = (401, 403)

Credential = str | Callable[[], str]
"""A key or token; or what gives one before each request, "" for none."""


class Login:
    """The tokens of a login, in memory; times are seconds of a clock that never goes back."""

    def __init__(self, tokens: Tokens, now_s: float) -> None:
        self.take(tokens, now_s)

    def take(self, tokens: Tokens, now_s: float) -> None:
        """These are the tokens from now on."""
        self.access = tokens.access_token or ""
        self.refresh = tokens.refresh_token or ""
        self._ends_s = now_s + tokens.expires_in
        self._due_s = self._ends_s - min(EARLY_S, tokens.expires_in / 4)

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to renew it."""
        return now_s >= self._due_s

    def has_ended(self, now_s: float) -> bool:
        """Whether its access token is of no use any more."""
        return now_s >= self._ends_s

    def spoil(self, access: str) -> None:
        """The gateway refused this token: the secret that signed it is gone, or its clock is on."""
        if access == self.access:  # else it was renewed meanwhile
            self._due_s = self._ends_s = -math.inf

    def __repr__(self) -> str:
        return "Login(…)"


class Bearer:
    """What each request says of who asks: as the `login` where there is one."""

    def __init__(self, credential: Credential) -> None:
        self.login: Login | None = None
        self._credential = credential

    @property
    def token(self) -> str:
        """The key or token as it is now, "" for none."""
        if self.login is not None:
            return self.login.access
        return self._credential if isinstance(self._credential, str) else self._credential()

    @property
    def now(self) -> tuple[Login | None, str]:
        """The login as which requests go at this moment, and its token."""
        login = self.login
        return login, login.access if login is not None else ""

    def headers(self) -> dict[str, str]:
        """The header of a request; none where there is nothing to say."""
        token = self.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def is_renewable(self, error: ApiError, login: Login | None, access: str) -> bool:
        """Whether `error` means no more than that the token `access` of `login` has to be renewed.

        Nothing was done then: the request came no further than the door.
        """
        if login is None or login is not self.login or error.code != UNAUTHENTICATED:
            return False
        login.spoil(access)
        return True

    def was_not_renewed(self, error: TickbusError, login: Login, now_s: float) -> None:
        """Raise `error`, unless the token is still good; a login that is over is forgotten."""
        is_over = isinstance(error, ApiError) and error.status in OVER
        if is_over and login is self.login:
            self.login = None
        if is_over or login.has_ended(now_s):
            raise error

    def __repr__(self) -> str:
        return "Bearer(…)"  # never the key: this may end in a log


def key_of(file: Path) -> str:
    """The API key in `file`. Raises TickbusError."""
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TickbusError(f"the API key cannot be read: {error}") from error
    if not key:
        raise TickbusError(f"the API key cannot be read: {file} is empty")
    return key


def key_from(environment: Mapping[str, str] = os.environ) -> str:
    """The API key that TICKBUS_API_KEY gives, or the file that TICKBUS_API_KEY_FILE names.

    "" where neither is set. Raises TickbusError.
    """
    if key := environment.get(KEY, "").strip():
        return key
    file = environment.get(KEY_FILE, "")
    return key_of(Path(file)) if file else ""


def url_from(environment: Mapping[str, str] = os.environ) -> str:
    """The gateway of TICKBUS_API_URL, else the one that `tickbus up` starts on this machine."""
    return environment.get(URL) or URL_DEFAULT
