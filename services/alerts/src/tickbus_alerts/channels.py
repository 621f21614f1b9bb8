"""The channels: addresses from the environment or files, and one try to send through one.

An address holds a secret. It is never shown: neither by us, nor by what the libraries below have
to say, of which only the status that a server answered is passed on.
"""

import asyncio
import contextvars
import logging
import re
import threading
from collections.abc import Mapping
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType, OverflowMode

from tickbus.alerts_api import Severity
from tickbus.config import ConfigError, Settings

VARIABLE = re.compile(r"TICKBUS_ALERTS_([A-Z0-9_]+?)(_FILE)?")
CHANNELS_MAX = 20
STUCK_MAX = 3
"""Tries of one channel that never came back; with so many no other is begun until one does."""
CONNECT_S = 5.0
_STATUS = re.compile(r"error=(\d{3})\b")
_TYPES = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}
_ASSET = AppriseAsset(
    app_id="tickbus", app_desc="tickbus alerts", app_url="", image_url_mask="", image_url_logo=""
)
_said: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("said", default=None)


class _Listener(logging.Handler):
    """Keeps of what the library says only what cannot hold a secret, and passes nothing on."""

    def emit(self, record: logging.LogRecord) -> None:
        """Note a status, or that no connection was made."""
        said = _said.get()
        if said is None:
            return
        text = record.getMessage()
        status = _STATUS.search(text)
        if status is not None:
            said.append(f"the server answered {status[1]}")
        elif "onnection error" in text:
            said.append("no connection, or it broke")


def silence_libraries() -> None:
    """Let nobody below write an address into a log."""
    for name in ("apprise", "requests", "urllib3", "smtplib"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.handlers[:] = [_Listener()]
        logger.setLevel(logging.WARNING if name == "apprise" else logging.CRITICAL)


class Channel:
    """One way to reach people. Shows its name and the scheme of its address, nothing else."""

    def __init__(self, name: str, address: str, severity_min: Severity, timeout_s: float) -> None:
        """Raises ConfigError, which does not show the address."""
        silence_libraries()
        self.name = name
        self.severity_min = severity_min
        self._timeout_s = timeout_s
        self._stuck = 0
        scheme = address.partition("://")[0].lower()
        made = Apprise.instantiate(address, asset=_ASSET, suppress_exceptions=True)
        if made is None:
            variable = f"TICKBUS_ALERTS_{name.upper().replace('-', '_')}"
            known = scheme if scheme in _schemes() else "none that is known"
            raise ConfigError(
                f"{variable}: its address cannot be used (scheme: {known}); docs/alerts.md has an"
                " example for each kind of channel"
            )
        self.scheme = scheme
        made.overflow_mode = OverflowMode.SPLIT  # in parts, where a service takes only short ones
        made.socket_connect_timeout = min(CONNECT_S, timeout_s)
        made.socket_read_timeout = timeout_s
        self._service: Any = made

    def __repr__(self) -> str:
        return f"Channel({self.name}, {self.scheme})"

    async def send(self, title: str, body: str, severity: Severity) -> str:
        """One try, at most `timeout_s`; why it failed, "" when the channel took it."""
        if self._stuck >= STUCK_MAX:
            return f"{self._stuck} earlier tries have not come back"
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()

        def settle(problem: str) -> None:
            if done.cancelled() or done.done():
                self._stuck -= 1
            else:
                done.set_result(problem)

        def work() -> None:
            problem = self._try(title, body, severity)
            try:
                loop.call_soon_threadsafe(settle, problem)
            except RuntimeError:  # the service has ended meanwhile
                return

        # A thread of its own, which dies with the process: one that hangs must hold up neither
        # another channel nor the end of the service.
        threading.Thread(target=work, name=f"alerts-{self.name}", daemon=True).start()
        try:
            return await asyncio.wait_for(done, self._timeout_s)
        except TimeoutError:
            self._stuck += 1
            return f"no answer within {self._timeout_s:g} s"

    def _try(self, title: str, body: str, severity: Severity) -> str:
        said: list[str] = []
        token = _said.set(said)
        try:
            taken = self._service.notify(
                title=title, body=body, notify_type=_TYPES[severity], body_format=NotifyFormat.TEXT
            )
        except Exception as error:  # noqa: BLE001 - whatever a library raises is a failed try
            return f"it failed with {type(error).__name__}"  # its text could hold the address
        finally:
            _said.reset(token)
        return "" if taken else next(iter(said), "it was not taken")


def addresses(settings: Settings) -> dict[str, str]:
    """The addresses by channel: TICKBUS_ALERTS_<CHANNEL>, or the file named by its _FILE.

    Raises ConfigError.
    """
    found: dict[str, str] = {}
    for variable in sorted(settings.environment):
        match = VARIABLE.fullmatch(variable)
        if match is None or not settings.environment[variable]:
            continue
        address = settings.secret(f"alerts_{match[1].lower()}")
        if not address:
            raise ConfigError(f"{variable}: the file is empty; write the channel's address into it")
        found[match[1].lower().replace("_", "-")] = address
    if len(found) > CHANNELS_MAX:
        raise ConfigError(f"TICKBUS_ALERTS_*: {len(found)} channels, more than {CHANNELS_MAX}")
    return found


def _schemes() -> frozenset[str]:
    details: Mapping[str, Any] = Apprise().details()
    return frozenset(
        scheme
        for service in details["schemas"]
        for key in ("protocols", "secure_protocols")
        for scheme in service[key] or ()
    )
