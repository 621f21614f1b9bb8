"""Who may use the gateway of `tickbus up`: whoever is at this machine, or users with passwords."""

import secrets
from collections.abc import Mapping
from ipaddress import ip_address

from tickbus.bus import Bus
from tickbus.config import Settings

VARIABLE = "TICKBUS_API_ACCESS"
PASSWORD = "TICKBUS_ADMIN_PASSWORD"  # noqa: S105 - the variable, not the password
OF_API = (VARIABLE, PASSWORD, f"{PASSWORD}_FILE")
"""What only the gateway is to know."""
ADMIN = "admin"


def access_of(settings: Settings, environment: Mapping[str, str], live: bool) -> str:
    """`login` or `local`: as somebody said; else `local` where nobody else can reach it."""
    section = settings.raw.get("api") or {}
    said = environment.get(VARIABLE) or section.get("access")
    if said:
        return str(said)
    host = environment.get("TICKBUS_API_HOST") or str(section.get("host") or "127.0.0.1")
    return "local" if not live and _is_loopback(host) else "login"


async def first_password(bus: Bus, environment: Mapping[str, str]) -> str:
    """The password of an admin who is still to be made; "" where there is one, or it is given.

    Raises BusError.
    """
    if environment.get(PASSWORD) or environment.get(f"{PASSWORD}_FILE"):
        return ""
    value, _ = await bus.kv_read("access", f"user.{ADMIN}")
    return "" if value else secrets.token_urlsafe(18)


def sentences(access: str, password: str) -> tuple[str, ...]:
    """What whoever starts the platform must know of it."""
    if access == "local":
        return (
            "access   local: whoever is at this machine is admin, without a login;"
            " `api.access: login` wants users",
        )
    first = (f"first    user {ADMIN}, password {password}   (shown once)",) if password else ()
    return ("access   login: users with passwords, programs with API keys", *first)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
