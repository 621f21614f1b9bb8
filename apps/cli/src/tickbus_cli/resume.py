"""Let trading go on after a halt: sets the trading state ACTIVE on the bus of the platform.

A halt, by somebody or by risk's own limits, outlives restarts on purpose; this is what ends it.
After a stop by losses they count from here. Exit code 0: trading is ACTIVE. The platform is the one
that runs below .tickbus/, or that of --config.
"""

import argparse
import asyncio
import getpass
import logging
import os
import sys
import time

from tickbus import codec, subjects
from tickbus.bus import Bus, Message, NatsBus
from tickbus.config import load
from tickbus.events import GLOBAL, RiskReport, ScopeReport, SetTradingState, TradingState
from tickbus_cli import logins, status
from tickbus_cli.errors import CliError
from tickbus_killswitch.halt import BUCKET, KEY

WORD = "RESUME"
TIMEOUT_S = 5.0
REPORT_S = 5.0
"""Risk reports every two seconds unless it is told otherwise."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--config", metavar="FILES", help=f"YAML files joined by {os.pathsep!r}: where the bus is")
    add("--strategy", default="", metavar="ID", help="only this one")
    add("--reason", default="resumed", metavar="TEXT", help="kept with the trading state")
    add("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Show why trading is halted, ask, and resume; 0 when trading is ACTIVE."""
    logging.getLogger().addHandler(logging.NullHandler())
    if arguments.config:
        url = load(arguments.config.split(os.pathsep)).bus_url
    else:
        url = str(status.find(None)[1]["nats_url"])
    return asyncio.run(resume(url, arguments.strategy, arguments.reason, yes=arguments.yes))


async def resume(url: str, strategy: str, reason: str, *, yes: bool) -> int:
    """Set the state of everything, or of one strategy, ACTIVE at the bus `url`; the exit code."""
    what = f"strategy {strategy}" if strategy else "trading"
    key = f"strategy/{strategy}" if strategy else KEY
    bus = await NatsBus.connect(url, f"tickbus-resume-{os.getpid()}", logins.for_url(url))
    try:
        state = await trading_state(bus, key)
        why = sentence(state, what) if state is not None else ""
        if state is None or state.state is TradingState.ACTIVE:
            # Nobody stopped it; risk itself may have.
            stop = await _stop_of_risk(bus, f"strategy:{strategy}" if strategy else GLOBAL)
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
            await bus.kv_put(BUCKET, key, codec.encode_value(active))
    finally:
        await bus.close()
    print(f"{what} is ACTIVE")
    return 0


async def _stop_of_risk(bus: Bus, scope: str) -> ScopeReport | None:
    """What risk says of a scope that it does not let trade; None when it does, or says nothing."""
    told: asyncio.Future[ScopeReport | None] = asyncio.get_running_loop().create_future()

    async def hear(message: Message) -> None:
        for event in codec.decode(message.payload).events:
            if isinstance(event, RiskReport) and not told.done():
                found = [line for line in event.scopes if line.scope == scope]
                told.set_result(
                    next((x for x in found if x.state is not TradingState.ACTIVE), None)
                )

    subscription = await bus.subscribe(subjects.RISK_STATE, hear)
    try:
        return await asyncio.wait_for(told, REPORT_S)
    except TimeoutError:
        return None  # risk is down: what the bucket says is all there is
    finally:
        await subscription.stop()


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
