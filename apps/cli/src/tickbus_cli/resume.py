"""Let trading go on after a halt: sets the trading state ACTIVE, on the bus or over the gateway.

A halt, by somebody or by risk's own limits, outlives restarts on purpose; this is what ends it.
After a stop by losses they count from here. Exit code 0: trading is ACTIVE. The platform is the one
that runs below .tickbus/, or that of --data-dir or --config; one elsewhere is reached by --api-url.
"""

import argparse
import asyncio
import getpass
import logging
import os
import sys
import time
from collections.abc import Sequence

from tickbus import codec, subjects
from tickbus.bus import Bus, NatsBus
from tickbus.config import load
from tickbus.events import GLOBAL, RiskReport, ScopeReport, SetTradingState, TradingState
from tickbus.login import Login
from tickbus_cli import datadir, gateway, logins, names
from tickbus_cli.errors import CliError
from tickbus_cli.risk import told
from tickbus_killswitch.halt import BUCKET, KEY

WORD = "RESUME"
TIMEOUT_S = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--config", metavar="FILES", help=f"YAML files joined by {os.pathsep!r}: where the bus is")
    gateway.configure(parser)
    add("--strategy", default="", metavar="ID", help="only this one")
    gateway.add_force(parser)
    add("--reason", default="resumed", metavar="TEXT", help="kept with the trading state")
    add("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Show why trading is halted, ask, and resume; 0 when trading is ACTIVE."""
    if arguments.api_url:
        return _through_the_gateway(arguments)
    logging.getLogger().addHandler(logging.NullHandler())
    login = None
    if arguments.config:
        files = arguments.config.split(os.pathsep)
        url = load(files).bus_url
    else:
        path, facts = datadir.find(arguments.data_dir)
        url, files = str(facts["nats_url"]), [str(file) for file in facts.get("config", ())]
        login = logins.operator(path)
    known = None if arguments.even_if_unknown else names.configured(files).strategies
    return asyncio.run(
        resume(url, arguments.strategy, arguments.reason, known, yes=arguments.yes, login=login)
    )


def _through_the_gateway(arguments: argparse.Namespace) -> int:
    strategy = arguments.strategy
    what = f"strategy {strategy}" if strategy else "trading"
    scope = f"strategy:{strategy}" if strategy else GLOBAL
    with gateway.the_desk(arguments) as desk:
        now = desk.risk.state()
        line = next((line for line in now.scopes if line.scope == scope), None)
        if line is not None and line.state == TradingState.ACTIVE:
            print(f"{what} is ACTIVE already")
            return 0
        if line is not None:
            print(f"{what} is {line.state}: {line.reason}")
        if not arguments.yes:
            _confirm()
        after = desk.risk.set_state(
            "ACTIVE", arguments.reason, strategy=strategy, actor=_actor(),
            even_if_unknown=arguments.even_if_unknown,
        )  # fmt: skip
    if not (code := told(after.unconfirmed)):
        print(f"{what} is ACTIVE")
    return code


async def resume(
    url: str, strategy: str, reason: str, known: Sequence[str] | None, *, yes: bool,
    login: Login | None = None,
) -> int:  # fmt: skip
    """Set the state of everything, or of one strategy, ACTIVE at the bus `url`; the exit code.

    `known` are strategies besides those that risk has heard of; None takes any name. Raises
    CliError for a strategy that nobody has, and where somebody else changed the state meanwhile.
    """
    what = f"strategy {strategy}" if strategy else "trading"
    key = f"strategy/{strategy}" if strategy else KEY
    login = login or logins.for_url(url)
    bus = await NatsBus.connect(url, f"tickbus-resume-{os.getpid()}", login)
    try:
        value, revision = await bus.kv_read(BUCKET, key)
        state = codec.decode_value(value, SetTradingState) if value else None
        why = sentence(state, what) if state is not None else ""
        if state is None or state.state is TradingState.ACTIVE:
            # Nobody stopped it; risk itself may have.
            report = await names.risk_report(bus)
            if strategy and state is None and known is not None:
                _require_known(strategy, known, report)
            stop = _stop_of(report, f"strategy:{strategy}" if strategy else GLOBAL)
            if stop is None:
                print(f"{what} is ACTIVE already")
                return 0
            why = f"{what} is {stop.state}: {stop.reason}"
        print(why)
        if not yes:
            _confirm()
        now = time.time_ns()
        active = SetTradingState(now, now, TradingState.ACTIVE, _actor(), reason, strategy)
        async with asyncio.timeout(TIMEOUT_S):
            # Only over what was shown: somebody may have pulled the kill switch while it asked.
            if not await bus.kv_swap(BUCKET, key, codec.encode_value(active), revision):
                raise CliError(
                    f"{what} was told otherwise meanwhile: it stays as it is",
                    "Look who did, and repeat it if you still want to.",
                )
    finally:
        await bus.close()
    print(f"{what} is ACTIVE")
    return 0


def _require_known(strategy: str, known: Sequence[str], report: RiskReport | None) -> None:
    heard = names.strategies_of(report) if report is not None else []
    if strategy in (*known, *heard, subjects.MANUAL):
        return
    silent = "" if report is not None else "Risk does not answer; it may know more. "
    force = "--even-if-unknown resumes it all the same."
    raise names.unknown(names.STRATEGY, strategy, [*known, *heard], silent + force)


def _stop_of(report: RiskReport | None, scope: str) -> ScopeReport | None:
    """What risk says of a scope that it does not let trade; None when it does, or says nothing."""
    found = [line for line in report.scopes if line.scope == scope] if report is not None else []
    return next((line for line in found if line.state is not TradingState.ACTIVE), None)


async def trading_state(bus: Bus, key: str = KEY) -> SetTradingState | None:
    """The desired trading state, None while nobody ever set one. Raises BusError."""
    value, _ = await bus.kv_read(BUCKET, key)
    return codec.decode_value(value, SetTradingState) if value else None


def sentence(state: SetTradingState, what: str = "trading") -> str:
    """Who set the state, when and why."""
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(state.ts_event / 1e9))
    return f"{what} is {state.state} since {when}, by {state.actor}: {state.reason}"


def _actor() -> str:
    try:
        return f"tickbus resume by {getpass.getuser()}"
    except (KeyError, OSError):
        return "tickbus resume"


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise CliError("it asks before it acts, and there is no terminal to ask at", "Use --yes.")
    print(f"Strategies order again from then on. Type {WORD} to go on: ", end="", flush=True)
    if sys.stdin.readline().strip() != WORD:
        raise CliError("not confirmed: trading stays as it is", "", 1)
