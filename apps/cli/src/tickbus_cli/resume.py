"""Let trading go on after a halt: sets the trading state ACTIVE on the bus of the platform.

A halt outlives restarts on purpose; this is the only thing that ends it. Exit code 0: trading is
ACTIVE. The platform is the one that runs below .tickbus/, or that of --config.
"""

import argparse
import asyncio
import getpass
import logging
import os
import sys
import time

from tickbus import codec
from tickbus.bus import Bus, NatsBus
from tickbus.config import load
from tickbus.events import SetTradingState, TradingState
from tickbus_cli import status
from tickbus_cli.errors import CliError
from tickbus_killswitch.halt import BUCKET, KEY

WORD = "RESUME"
TIMEOUT_S = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--config", metavar="FILES", help=f"YAML files joined by {os.pathsep!r}: where the bus is")
    add("--reason", default="resumed", metavar="TEXT", help="kept with the trading state")
    add("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Show why trading is halted, ask, and resume; 0 when trading is ACTIVE."""
    logging.getLogger().addHandler(logging.NullHandler())
    if arguments.config:
        url = load(arguments.config.split(os.pathsep)).bus_url
    else:
        url = str(status.find(None)[1]["nats_url"])
    return asyncio.run(_resume(url, arguments.reason, arguments.yes))


async def _resume(url: str, reason: str, yes: bool) -> int:
    bus = await NatsBus.connect(url, f"tickbus-resume-{os.getpid()}")
    try:
        state = await trading_state(bus)
        if state is None or state.state is TradingState.ACTIVE:
            print("trading is ACTIVE already")
            return 0
        print(sentence(state))
        if not yes:
            _confirm()
        now = time.time_ns()
        active = SetTradingState(now, now, TradingState.ACTIVE, _actor(), reason)
        async with asyncio.timeout(TIMEOUT_S):
            await bus.kv_put(BUCKET, KEY, codec.encode_value(active))
    finally:
        await bus.close()
    print("trading is ACTIVE")
    return 0


async def trading_state(bus: Bus) -> SetTradingState | None:
    """The desired trading state, None while nobody ever set one. Raises BusError."""
    value, _ = await bus.kv_read(BUCKET, KEY)
    return codec.decode_value(value, SetTradingState) if value else None


def sentence(state: SetTradingState) -> str:
    """Who set the state, when and why."""
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(state.ts_event / 1e9))
    return f"trading is {state.state} since {when}, by {state.actor}: {state.reason}"


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
