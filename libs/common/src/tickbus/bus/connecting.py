"""Connecting to NATS as somebody: what the client is told, and what the server's refusals mean."""

import asyncio
import re
from collections.abc import Coroutine
from typing import Any

import nats.errors

from tickbus import permissions
from tickbus.bus.base import BusError, BusRefused
from tickbus.ending import end
from tickbus.login import Login

PENDING_BYTES_MAX = 8 * 1024 * 1024
"""Market data buffered while the server is away; past that a publish raises BusError."""
_DENIED = re.compile(r'permissions violation for \w+ (?:to )?"([^"]*)"', re.IGNORECASE)


def options(login: Login | None) -> dict[str, Any]:
    """What nats-py is told besides the address: it reconnects for ever, in an inbox of its own."""
    found: dict[str, Any] = {
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "connect_timeout": 2,
        "ping_interval": 5,
        "max_outstanding_pings": 3,
        "pending_size": PENDING_BYTES_MAX,
        "allow_reconnect": True,
    }
    if login is not None:
        found |= {
            "user": login.user,
            "password": login.password,
            "inbox_prefix": permissions.inbox(login.user),
        }
    return found


def is_refusal(error: Exception) -> bool:
    """Whether the server does not know the user or the password."""
    return "authorization" in str(error).lower()


def denied_subject(error: Exception) -> str | None:
    """The subject that the server let nothing through to, in lower case; None for other errors."""
    found = _DENIED.search(str(error))
    return found[1].lower() if found else None


async def unless_refused(
    connecting: Coroutine[Any, Any, None], refused: asyncio.Event, url: str, user: str,
    timeout_s: float,
) -> None:  # fmt: skip
    """Connect. Raises BusRefused as soon as the server refuses, BusError when nobody answers."""
    trying = asyncio.create_task(connecting)
    heard = asyncio.create_task(refused.wait())
    try:
        await asyncio.wait({trying, heard}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if refused.is_set():
            who = f"user {user!r} with that password" if user else "who gives no user"
            raise BusRefused(
                f"NATS at {url} refuses {who}: set TICKBUS_NATS_USER and TICKBUS_NATS_PASSWORD"
                " (or TICKBUS_NATS_PASSWORD_FILE) to what the server was configured with"
            )
        if not trying.done():
            raise TimeoutError(f"not within {timeout_s:g} s")
        trying.result()
    except (OSError, TimeoutError, nats.errors.Error) as error:
        detail = str(error) or type(error).__name__
        raise BusError(f"no NATS server answers at {url}: {detail}") from error
    finally:
        await end((trying, heard))
