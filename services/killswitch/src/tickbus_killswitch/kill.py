"""The whole kill: halt, then every account at once, then one verdict.

Needs the venues and nothing else: no bus, no database, no other service of the platform.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from tickbus.config import ConfigError, Settings, VenueConfig, load, own_keys
from tickbus.ending import end
from tickbus.kill_api import (
    EXIT_DONE,
    EXIT_EXPOSED,
    EXIT_WORKING,
    AccountReport,
    KillReport,
    KillRequest,
)
from tickbus.login import Login
from tickbus_killswitch import spot, usdm
from tickbus_killswitch.account import Account, Say
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.halt import halt
from tickbus_killswitch.rest import Rest
from tickbus_killswitch.signing import BadSecretError, Sign, signer

ADAPTERS: dict[str, tuple[type[spot.Spot] | type[usdm.Usdm], str]] = {
    "binance": (spot.Spot, spot.TIME_PATH),
    "binance-usdm": (usdm.Usdm, usdm.TIME_PATH),
}
PRETENDED = ("paper", "dry_run")
MARKET_DATA = "market data only"
"""A further venue without order entry and without a key: what is not traded there has no orders."""
KEYS_MISSING = "no key: set {0}_API_KEY and {0}_API_SECRET, or TICKBUS_VENUE_API_KEY and _SECRET"

HALT_LAST_S = 5.0
"""How long a bus that has not answered yet is waited for when all accounts are done."""

Halt = Callable[[str, str, str, Login | None], Coroutine[Any, Any, bool]]


class Target(NamedTuple):
    """One account, and the bus of the platform that trades on it."""

    name: str
    adapter: str
    rest_url: str
    instruments: tuple[str, ...]
    mode: str
    orders: str
    """`venue`; or why there are none: `paper`, `dry_run`, `market data only`."""
    key: str
    secret: str
    bus_url: str
    bus_login: Login | None = None
    key_type: str = "auto"
    """As execution's: `hmac`, `ed25519`, or `auto`."""
    bus_replicas: int = 1


def target_of(settings: Settings, venue: VenueConfig) -> Target:
    """The account at one venue of a configuration. Raises ConfigError.

    Keys: TICKBUS_<NAME>_API_KEY and _SECRET where the account has some of its own, else those of
    execution: TICKBUS_VENUE_API_KEY and _SECRET.
    """
    mode, own = settings.platform.mode, own_keys(venue.name)
    section = settings.raw.get("execution")
    section = section if isinstance(section, dict) else {}
    chosen = section.get("mode", "auto")
    orders = (mode if mode in PRETENDED else "venue") if chosen == "auto" else str(chosen)
    key, secret = settings.venue_keys(venue)
    has_own = settings.secret(f"{own}_api_key")
    if venue.adapter not in ADAPTERS and not has_own and venue.name != settings.venues[0].name:
        orders = MARKET_DATA
    return Target(
        name=venue.name,
        adapter=venue.adapter,
        rest_url=venue.rest_url,
        instruments=venue.instruments,
        mode=mode,
        orders=orders,
        key=key,
        secret=secret,
        bus_url=settings.bus_url,
        bus_login=settings.bus_login,
        key_type=str(section.get("key_type", "auto")),
        bus_replicas=settings.bus_replicas,
    )


def read_settings(configs: Sequence[str]) -> list[Settings]:
    """One for each entry: files joined by the system's separator are merged. Raises ConfigError.

    Without any entry, the configuration that every service reads.
    """
    return [load(group) for group in ([c.split(os.pathsep) for c in configs] or [[]])]


def targets_of(settings: Iterable[Settings]) -> tuple[Target, ...]:
    """The account at each venue of each. Raises ConfigError."""
    targets = tuple(target_of(each, venue) for each in settings for venue in each.venues)
    accounts = [(target.name, target.rest_url) for target in targets]
    twice = next((a for a in accounts if accounts.count(a) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"two configurations describe the account {twice[0]!r} at {twice[1]}: files of one"
            f" account are joined by {os.pathsep!r}, each account has a venue.name of its own"
        )
    return targets


async def kill(
    targets: Sequence[Target], request: KillRequest, config: KillConfig, say: Say,
    halting: Halt = halt, unread: Sequence[AccountReport] = (),
) -> KillReport:  # fmt: skip
    """Do it, and report; raises for nothing that a venue or a bus does.

    `unread` are reported as they are: accounts that could not be found out.
    """
    began = time.monotonic()
    actor, reason = request.actor or "kill switch", request.reason or "kill"
    logins = {target.bus_url: target.bus_login for target in targets}
    halts = {
        url: asyncio.create_task(halting(url, actor, reason, login))
        for url, login in logins.items()
    }
    accounts: list[Account | AccountReport] = [
        _account(target, config, say, began) for target in accounts_of(targets)
    ]
    accounts += unread
    looks = [asyncio.create_task(a.look()) for a in accounts if isinstance(a, Account)]
    # First risk is told, so that nothing new is on its way; but nobody waits for a dead bus.
    await asyncio.wait([*halts.values(), *looks], timeout=config.halt_wait_s)
    for url, task in halts.items():
        say(f"bus {url}: {_halt_words(task)}")
    await end(looks)
    reports = await asyncio.gather(*(_stand_down(a, request.flatten) for a in accounts))
    # The orders are gone: a bus that only took its time is worth waiting for now.
    await asyncio.wait(halts.values(), timeout=HALT_LAST_S)
    not_told, detail = await _end_of(halts)
    code = _exit_code(reports, request.flatten)
    return KillReport(
        exit_code=code,
        summary=_summary(code, reports),
        reason=request.reason,
        flatten=request.flatten,
        halted=not not_told,
        halt_detail=detail,
        accounts=tuple(reports),
        seconds=round(time.monotonic() - began, 3),
        not_told=not_told,
    )


def accounts_of(targets: Sequence[Target]) -> list[Target]:
    """One target for each account: of two platforms that share one, the one that orders there."""
    found: dict[tuple[str, str], Target] = {}
    for target in sorted(targets, key=lambda each: each.orders != "venue"):
        found.setdefault((target.name, target.rest_url), target)
    chosen = {id(target) for target in found.values()}  # two may be equal
    return [target for target in targets if id(target) in chosen]


def has_orders(target: Target) -> bool:
    """Whether orders of the platform can be at this venue."""
    return target.orders not in (*PRETENDED, MARKET_DATA)


def signing_of(target: Target) -> tuple[Sign | None, str]:
    """How requests for the account are signed; or None and why it cannot be cleared from here."""
    if target.adapter not in ADAPTERS:
        known = ", ".join(ADAPTERS)
        return None, (
            f"venue.adapter {target.adapter!r}: the kill switch knows {known}; cancel there"
        )
    own = f"TICKBUS_{own_keys(target.name)}"
    if not (target.key and target.secret):
        return None, KEYS_MISSING.format(own)
    try:
        return signer(target.secret, target.key_type), ""
    except BadSecretError as error:
        return None, f"{own}_API_SECRET or TICKBUS_VENUE_API_SECRET: {error}"


def _account(
    target: Target, config: KillConfig, say: Say, began: float
) -> Account | AccountReport:  # fmt: skip
    name = target.name
    if not has_orders(target):
        return AccountReport(
            account=name, verified=True, exposure_known=True,
            detail=f"no order of the platform is at this venue ({target.orders})",
        )  # fmt: skip
    sign, problem = signing_of(target)
    if sign is None:
        say(f"{name}: {problem}")
        return AccountReport(account=name, verified=False, unverified=(problem,))
    kind, time_path = ADAPTERS[target.adapter]
    rest = Rest(target.rest_url, target.key, sign, time_path, config.request_timeout_s)
    tag = f"{time.time_ns() // 1_000_000:x}"
    venue = kind(rest, target.instruments, tag)
    return Account(name, venue, say, config.timeout_s, config.settle_s, began)


async def _stand_down(account: Account | AccountReport, flatten: bool) -> AccountReport:
    if isinstance(account, AccountReport):
        return account
    try:
        return await account.stand_down(flatten=flatten)
    except Exception as error:  # noqa: BLE001 - a bug met on one account must not stop the others
        problem = f"the kill switch failed here ({type(error).__name__}: {error}): cancel there"
        return AccountReport(account=account.name, verified=False, unverified=(problem,))
    finally:
        await account.close()


def _halt_words(task: asyncio.Task[bool]) -> str:
    if not task.done():
        return "no answer yet, going on without it"
    error = task.exception()
    return "trading is HALTED" if error is None else f"not halted: {error}"


async def _end_of(halts: dict[str, asyncio.Task[bool]]) -> tuple[tuple[str, ...], str]:
    """The buses that were not told, and in words; whoever has not answered by now is given up."""
    words = "; ".join(f"{url}: {_halt_words(task)}" for url, task in halts.items())
    not_told = [u for u, task in halts.items() if not task.done() or task.exception() is not None]
    await end(halts.values())
    return tuple(not_told), words


def _exit_code(reports: Iterable[AccountReport], flatten: bool) -> int:
    reports = list(reports)
    if not all(report.verified for report in reports):
        return EXIT_WORKING
    held = [e for report in reports for e in report.exposure if e.ours and not e.dust]
    known = all(report.exposure_known for report in reports)
    return EXIT_EXPOSED if not known or (flatten and held) else EXIT_DONE


def _summary(code: int, reports: Sequence[AccountReport]) -> str:
    count = sum(len(report.cleared) for report in reports)
    done = f"no order works on {len(reports)} account(s); {count} cleared"
    if code == EXIT_DONE:
        return f"DONE: {done}"
    if code == EXIT_EXPOSED:
        return f"POSITIONS ARE LEFT OR UNKNOWN: {done}, but look at what is held"
    bad = ", ".join(report.account for report in reports if not report.verified)
    return f"ORDERS MAY STILL BE WORKING on {bad}: look there, and cancel by hand"
