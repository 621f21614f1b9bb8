"""Cancel every order of every account at its venue, and look until none is left.

Needs the venues and their keys; no bus, no database, no service of the platform. Accounts: those of
--config and --data-dir; else of TICKBUS_CONFIG; else of the platforms that run, or crashed, below
.tickbus/; else of the one that runs, or crashed, elsewhere on this machine; else of
config/default.yaml. Between several elsewhere it does not choose: it names them, and --all takes
every one. Exit code 0: no order works, seen twice in a row, and with --flatten nothing but dust is
held. 3: orders may still be working. 4: none works, but positions are left or unknown.
"""

import argparse
import asyncio
import contextlib
import getpass
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tickbus.config import DEFAULT_FILE, ConfigError, Settings, load, nearest
from tickbus.kill_api import AccountReport, Exposure, KillReport, KillRequest
from tickbus_cli import datadir, logins
from tickbus_cli.errors import CliError
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.kill import Target, accounts_of, kill, read_settings, targets_of

BASE = Path(".tickbus")
WORD = "KILL"
ASKED_IN = ("live", "testnet")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    files = f"one account: YAML files joined by {os.pathsep!r}; repeat for several accounts"
    add("--config", action="append", default=[], metavar="FILES", help=files)
    add(
        "--data-dir", action="append", default=[], type=Path, metavar="DIR",
        help="the platform that runs, or crashed, there; repeat for several"
        " (default: those below .tickbus/)",
    )  # fmt: skip
    add("--all", action="store_true", help="every platform of this machine, wherever it is")
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

    settings, unread = _settings(arguments.config, arguments.data_dir, say, arguments.all)
    targets = _chosen(settings, arguments.venue, unread)
    for each in unread:
        say(f"{each.account}: NOT LOOKED AT: {'; '.join(each.unverified)}")
    for target in accounts_of(targets):
        say(f"account {target.name} ({target.mode}) at {target.rest_url}")
    if not arguments.yes:
        _confirm(targets, arguments.flatten)
    request = KillRequest(
        reason=arguments.reason, flatten=arguments.flatten, actor=f"tickbus kill by {_user()}"
    )
    config = settings[0].section("killswitch", KillConfig)
    unread = [] if arguments.venue else unread  # the one that was asked for was found
    report = asyncio.run(kill(targets, request, config, say, unread=unread))
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)
    return report.exit_code


def _settings(
    configs: Sequence[str], directories: Sequence[Path], say: Callable[[str], None],
    everywhere: bool,
) -> tuple[list[Settings], list[AccountReport]]:  # fmt: skip
    """The configurations to act on, and what stands for those that cannot be read.

    Nothing that one of them lacks keeps the others from being acted on. Raises ConfigError where
    none can be read.
    """
    readers: dict[str, Callable[[], Settings]]
    if everywhere and (configs or directories):
        raise CliError("--all: with --config or --data-dir?", "Give one or the other.", exit_code=2)
    if configs or directories:
        readers = {name: partial(_read, name) for name in configs}
        readers |= {str(path): partial(_found, path) for path in directories}
    elif os.environ.get("TICKBUS_CONFIG") and not everywhere:
        readers = {"TICKBUS_CONFIG": partial(_read, os.environ["TICKBUS_CONFIG"])}
    else:
        told = _of_this_machine(say, everywhere)
        readers = {str(path): partial(_told, path, facts) for path, facts in told.items()}
    if not readers:
        say(f"no platform of yours runs, or crashed, on this machine: taking {DEFAULT_FILE};")
        say("  those of others are found by --data-dir or --config")
        return [_with_keys(load(), simulated=False)], []
    found, unread = list[Settings](), list[AccountReport]()
    for name, read in readers.items():
        try:
            settings = read()
            targets_of([settings])
        except (ConfigError, CliError, KeyError, TypeError) as error:
            if len(readers) == 1:
                raise
            why = f"{str(error) or type(error).__name__}: its orders may still be working"
            unread.append(AccountReport(account=name, verified=False, unverified=(why,)))
        else:
            found.append(settings)
    if not found:
        raise CliError("; ".join(f"{u.account}: {u.unverified[0]}" for u in unread))
    return found, unread


def _of_this_machine(say: Callable[[str], None], everywhere: bool) -> dict[Path, dict[str, Any]]:
    """What the platforms said of themselves that are meant, by data directory.

    Those of this folder, or the one elsewhere. Raises CliError for several elsewhere.
    """
    paths = sorted(BASE.glob("*")) if BASE.is_dir() else []
    here = {path: f for path in paths if (f := datadir.last_told(path)) and f.get("config")}
    others = {path: f for path, f in datadir.elsewhere(BASE).items() if f.get("config")}
    if everywhere:
        return here | others
    running = {path: facts for path, facts in others.items() if datadir.running(path)}
    if here:
        for path in running:
            say(f"NOT TOUCHED: another platform runs on {path}: --data-dir {path}, or --all")
        return here
    found = running or others
    if len(found) > 1:
        each = "".join(f"\n  --data-dir {path}" for path in found)
        what = "run" if running else "crashed"
        raise CliError(
            f"{len(found)} platforms {what} on this machine, none of them in this folder; nothing"
            f" was done{each}",
            "Say which, or --all.", exit_code=2,
        )  # fmt: skip
    for path in found:
        say(f"no platform runs, or crashed, below {BASE.absolute()}: taking the one on {path}")
    return found


def _read(group: str) -> Settings:
    (settings,) = read_settings([group])
    return _with_keys(settings, simulated=False)


def _found(path: Path) -> Settings:
    facts = datadir.last_told(path)
    if not facts or not facts.get("config"):
        raise CliError(
            f"--data-dir {path}: no platform runs there, or crashed",
            "Give its directory, or its files with --config.",
        )
    return _told(path, facts)


def _told(path: Path, facts: dict[str, Any]) -> Settings:
    """The configuration of the platform on `path`, with its bus and its exchange."""
    environment = {**os.environ, "TICKBUS_NATS_URL": facts["nats_url"]}
    # Without its login risk is not told, which the report says; the orders go all the same.
    with contextlib.suppress(CliError):
        login = logins.operator(path)
        if login is not None:
            environment |= {
                "TICKBUS_NATS_USER": login.user, "TICKBUS_NATS_PASSWORD": login.password,
            }  # fmt: skip
    if facts.get("exchange_url"):
        environment["TICKBUS_VENUE_REST_URL"] = facts["exchange_url"]
    settings = load(facts["config"], environment)
    return _with_keys(settings, simulated=bool(facts.get("exchange_url")))


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


def _chosen(
    settings: Sequence[Settings], venue: str | None, unread: list[AccountReport]
) -> tuple[Target, ...]:
    """The accounts of `venue`, or all; what could not be read may have it, too. Raises CliError."""
    targets = tuple(target for each in settings for target in targets_of([each]))
    chosen = tuple(target for target in targets if venue in (None, target.name))
    if not chosen:
        names = sorted({target.name for target in targets})
        hint = nearest(str(venue), names, "accounts")
        dark = f" Not read: {', '.join(each.account for each in unread)}." if unread else ""
        raise CliError(
            f"--venue {venue}: no such account; nothing was done",
            f"{hint[0].upper()}{hint[1:]}{'' if hint.endswith('?') else '.'}"
            f" Without --venue every account is cleared.{dark}",
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
        where = ", ".join(report.not_told)
        print(f"  risk was NOT TOLD at {where}: strategies there may order again, and nobody tries")
        print(f"  any more: run it again when the bus is back ({report.halt_detail})")
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
