"""Cancel every order of every account at its venue, and look until none is left.

Needs the venues and their keys; no bus, no database, no service of the platform. Accounts: those of
--config; else of TICKBUS_CONFIG; else of the platforms that run, or crashed, below .tickbus/; else
of config/default.yaml. Exit code 0: no order works, seen twice in a row, and with --flatten nothing
but dust is held. 3: orders may still be working. 4: none works, but positions are left or unknown.
"""

import argparse
import asyncio
import getpass
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tickbus.config import Settings, load
from tickbus.kill_api import AccountReport, Exposure, KillReport, KillRequest
from tickbus_cli import datadir, logins
from tickbus_cli.errors import CliError
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.kill import Target, kill, read_settings, targets_of

BASE = Path(".tickbus")
WORD = "KILL"
ASKED_IN = ("live", "testnet")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    files = f"one account: YAML files joined by {os.pathsep!r}; repeat for several accounts"
    add("--config", action="append", default=[], metavar="FILES", help=files)
    add("--venue", metavar="NAME", help="only the account of this venue.name")
    add("--flatten", action="store_true", help="close positions, sell the instruments' bases")
    add("--reason", default="", metavar="TEXT", help="kept with the trading state HALTED")
    add("--yes", action="store_true", help="do not ask (it asks where mode is live or testnet)")
    add("--json", action="store_true", help="one JSON object at the end, progress on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Kill; the exit code says what is certain."""
    began = time.monotonic()
    out = sys.stderr if arguments.json else sys.stdout
    # The bus client talks of its connection to a log; this command has nobody to read it.
    logging.getLogger().addHandler(logging.NullHandler())

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.2f} s  {text}", file=out, flush=True)

    settings = _settings(arguments.config)
    targets = _chosen(targets_of(settings), arguments.venue)
    for target in targets:
        say(f"account {target.name} ({target.mode}) at {target.rest_url}")
    if not arguments.yes:
        _confirm(targets, arguments.flatten)
    request = KillRequest(
        reason=arguments.reason, flatten=arguments.flatten, actor=f"tickbus kill by {_user()}"
    )
    config = settings[0].section("killswitch", KillConfig)
    report = asyncio.run(kill(targets, request, config, say))
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)
    return report.exit_code


def _settings(configs: Sequence[str]) -> list[Settings]:
    if configs or os.environ.get("TICKBUS_CONFIG"):
        return [_with_keys(each, simulated=False) for each in read_settings(configs)]
    paths = sorted(BASE.glob("*")) if BASE.is_dir() else []
    known = {path: f for path in paths if (f := datadir.last_told(path)) and f.get("config")}
    if not known:
        return [_with_keys(load(), simulated=False)]
    found = []
    for path, facts in known.items():
        login = logins.operator(path)
        environment = {**os.environ, "TICKBUS_NATS_URL": facts["nats_url"]}
        if login is not None:
            environment |= {
                "TICKBUS_NATS_USER": login.user, "TICKBUS_NATS_PASSWORD": login.password,
            }  # fmt: skip
        if facts["exchange_url"]:
            environment["TICKBUS_VENUE_REST_URL"] = facts["exchange_url"]
        settings = load(facts["config"], environment)
        found.append(_with_keys(settings, simulated=bool(facts["exchange_url"])))
    return found


def _with_keys(settings: Settings, *, simulated: bool) -> Settings:
    """The keys that `tickbus up` gives execution: those of the simulated exchange are built in."""
    from tickbus_cli.profile import KEYS, SIM_KEYS

    given = any(settings.environment.get(key) for key in KEYS)
    if not simulated and (given or settings.platform.mode != "simulated"):
        return settings
    environment = {**settings.environment, **SIM_KEYS}
    for key in KEYS:
        environment.pop(f"{key}_FILE", None)
    return Settings(settings.raw, environment, settings.run_id, settings.instance, settings.source)


def _chosen(targets: tuple[Target, ...], venue: str | None) -> tuple[Target, ...]:
    chosen = tuple(target for target in targets if venue in (None, target.name))
    if not chosen:
        names = ", ".join(target.name for target in targets)
        raise CliError(
            f"--venue {venue}: no such account; nothing was done",
            f"The configuration knows {names}; name another one's files with --config.",
        )
    return chosen


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "?"


def _confirm(targets: Sequence[Target], flatten: bool) -> None:
    real = [f"{target.name} ({target.mode})" for target in targets if target.mode in ASKED_IN]
    if not real:
        return
    if not sys.stdin.isatty():
        raise CliError("it asks before it acts, and there is no terminal to ask at", "Use --yes.")
    what = "Cancel everything and SELL OUT" if flatten else "Cancel everything"
    print(
        f"{what} at {', '.join(real)}. Type {WORD} to do it: ", end="", file=sys.stderr, flush=True
    )
    if sys.stdin.readline().strip() != WORD:
        raise CliError("not confirmed: nothing was done", "", 1)


def _show(report: KillReport) -> None:
    for account in report.accounts:
        for line in _lines(account):
            print(f"  {line}")
    if report.halted:
        print("  trading is HALTED until `tickbus resume`")
    else:
        print(f"  risk was not told, strategies may order again: {report.halt_detail}")
    bar = "" if report.exit_code == 0 else "!" * 72 + "\n"
    print(f"{bar}{report.summary} ({report.seconds:.1f} s)")


def _lines(account: AccountReport) -> list[str]:
    state = "no order works" if account.verified else "NOT VERIFIED"
    lines = [f"{account.account}: {account.detail or state}; cleared {len(account.cleared)}"]
    lines += [f"  STILL LISTED: {o.symbol} {o.order_id} ({o.kind.lower()})" for o in account.left]
    lines += [f"  closed: {what}" for what in account.closed]
    lines += [f"  holds {_held(each)}" for each in account.exposure]
    lines += [f"  not known: {why}" for why in account.unverified]
    return lines


def _held(each: Exposure) -> str:
    value = "of unknown value" if each.value is None else f"= {each.value:,.2f} {each.currency}"
    return f"{each.quantity.normalize():f} {each.name} {value}{' (dust)' if each.dust else ''}"
