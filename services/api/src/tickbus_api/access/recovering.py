"""The way back in for who lost a password: straight in the bucket `access`, past every gateway.

It takes a login of the bus that may write there, as `api` and `operator` may, so it is for whoever
owns the installation. Gateways that run see it at once; none has to.
"""

import asyncio
from typing import NamedTuple

from msgspec.structs import replace

from tickbus import codec, subjects
from tickbus.bus import Bus
from tickbus.config import nearest
from tickbus.events import UserActed
from tickbus.events.orders import message_id
from tickbus_api.access import hashing
from tickbus_api.access.access import Access
from tickbus_api.access.hashing import Passwords
from tickbus_api.access.records import SESSIONS, USER, Sessions, UserRecord
from tickbus_api.access.store import Store

VIA = "bus"
"""How whoever does this shows who they are."""
CHANGED = 200
START_S = 10.0


class Recovered(NamedTuple):
    """A user with a new password, and how many logins ended."""

    user: str
    role: str
    password: str
    ended: int


class By(NamedTuple):
    """Who does it, for the record: a user of the operating system, and the machine."""

    user: str
    machine: str


async def recover(
    bus: Bus, name: str, by: By, now_ns: int, passwords: Passwords | None = None
) -> Recovered:
    """Give the user `name` a random password, and end all logins; "" is the only admin there is.

    Role and API keys stay. Raises ValueError for who cannot be meant; Problem, BusError or
    TimeoutError when the bus does not take it: then no password is told, and the old one may be of
    no use any more, so do it again.
    """
    store = Store()
    async with asyncio.timeout(START_S):
        await store.start(bus)
    try:
        return await _recover(store, name, by, now_ns, passwords or Passwords())
    finally:
        await store.stop()


async def _recover(store: Store, name: str, by: By, now_ns: int, passwords: Passwords) -> Recovered:
    user = _meant(store, name)
    password = hashing.new_secret()[:24]
    kept = await passwords.hash(password)
    ended = 0

    def edit(old: UserRecord | None) -> UserRecord:
        if old is None:
            raise ValueError(f"the user {user!r} was removed meanwhile")
        return replace(old, password_hash=kept)

    def leave(old: Sessions | None) -> Sessions | None:
        nonlocal ended
        ended = len(old.sessions) if old is not None else 0
        return None if old is None else Sessions(old.user_id)

    changed = await store.change(USER + user, UserRecord, edit)
    assert changed is not None  # `edit` removes nobody
    await store.change(SESSIONS + user, Sessions, leave)
    # Last, and waited for: a password that nobody was told of is of no use, so nobody gets in
    # this way without leaving a trace.
    await _record(store.bus, user, by, now_ns)
    return Recovered(user, changed.role, password, ended)


def _meant(store: Store, name: str) -> str:
    """The name of the user to recover. Raises ValueError."""
    admins = sorted(user for user, record in store.users.items() if Access.is_admin(record))
    if not name and len(admins) == 1:
        return admins[0]
    if not admins:
        raise ValueError(
            "there is no admin yet: the gateway makes the user admin when it starts with"
            " `api.access: login`, and prints the password once"
        )
    if not name:
        raise ValueError(f"there are several admins: name one of {', '.join(admins)}")
    record = store.users.get(name)
    if record is None:
        raise ValueError(
            f"there is no user {name!r}; {nearest(name, sorted(store.users), 'users')}"
        )
    if not record.is_enabled:
        raise ValueError(
            f"{name} is kept out, and a new password would not change that: recover an admin"
            f" ({', '.join(admins)}), who can let {name} in again"
        )
    return name


async def _record(bus: Bus, user: str, by: By, now_ns: int) -> None:
    path = "/api/v1/users"
    acted = UserActed(
        ts_event=now_ns, ts_recv=now_ns, act_id=f"recover-{now_ns}", user=by.user, via=VIA,
        key_id="", address=by.machine, action=f"RECOVER {path}/{{user}}", target=f"{path}/{user}",
        status=CHANGED,
    )  # fmt: skip
    await bus.publish_durable(subjects.of(acted), codec.encode([acted]), message_id(acted))
