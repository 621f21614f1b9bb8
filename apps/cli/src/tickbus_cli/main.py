"""A thin dispatcher: each command is a module of its own, imported only when it is asked for.

A command's module has `configure(parser)`, which adds its arguments, and `run(arguments)`, which
returns the exit code. Whatever it raises as CliError, ConfigError or EmbeddedError is shown as one
message with its remedy.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from tickbus import __version__
from tickbus_cli.errors import CliError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
DEBUG = "TICKBUS_DEBUG"


class Command(NamedTuple):
    """Where a command lives and what it does, for the help."""

    module: str
    help: str


COMMANDS = {
    "up": Command("tickbus_cli.up", "start the whole platform on this machine"),
    "status": Command("tickbus_cli.status", "show a running platform"),
    "doctor": Command("tickbus_cli.doctor", "say what is wrong here, and how to mend it"),
    "logs": Command("tickbus_cli.logs", "show what services logged, -f as they do"),
    "alerts": Command("tickbus_cli.alerts", "show alerts and rules, try a channel"),
    "dead-letters": Command(
        "tickbus_cli.dead_letters", "messages that a service could never handle"
    ),
    "leases": Command("tickbus_cli.leases", "who may act where only one process may"),
    "market": Command("tickbus_cli.market", "show prices, books, trades, candles, venues"),
    "stream": Command("tickbus_cli.stream", "show what happens as it happens"),
    "orders": Command("tickbus_cli.orders", "list, place, replace and cancel orders"),
    "fills": Command("tickbus_cli.fills", "list what of our orders was executed"),
    "positions": Command("tickbus_cli.positions", "show what is held"),
    "portfolio": Command("tickbus_cli.portfolio", "show P&L, equity, balances; curves, sessions"),
    "strategies": Command(
        "tickbus_cli.strategies", "show strategies; start, stop, switch, change them"
    ),
    "risk": Command("tickbus_cli.risk", "show what risk enforces, change its limits"),
    "halt": Command("tickbus_cli.halt", "stop trading, of everything or of one strategy"),
    "flatten": Command("tickbus_cli.flatten", "close everything that is held; asks before"),
    "kill": Command("tickbus_cli.kill", "cancel every order of every account, whatever is down"),
    "resume": Command("tickbus_cli.resume", "let trading go on after a halt"),
    "history": Command("tickbus_cli.history", "list past orders, fills, profit and loss"),
    "ledger": Command("tickbus_cli.ledger", "explain a balance"),
    "audit": Command("tickbus_cli.audit", "check that the books are what happened"),
    "reconcile": Command("tickbus_cli.reconcile", "compare the accounts at the venues now"),
    "export": Command("tickbus_cli.export", "write orders, fills, the audit log, … to a file"),
    "login": Command("tickbus_cli.login", "log in at a gateway, for the other commands"),
    "logout": Command("tickbus_cli.logout", "end that login"),
    "whoami": Command("tickbus_cli.whoami", "show who the gateway takes one for"),
    "users": Command("tickbus_cli.users", "list, make, change and remove users"),
    "keys": Command("tickbus_cli.keys", "list API keys, make them, take them back"),
    "new": Command("tickbus_cli.new", "make the skeleton of a strategy of your own"),
    "feed": Command("tickbus_cli.feed", "run the feed of one venue, or record it"),
    "replay": Command("tickbus_cli.replay", "run recorded market data through the platform"),
    "inspect": Command("tickbus_cli.inspect", "show what a capture holds"),
    "fit-avellaneda": Command(
        "tickbus_cli.fit_avellaneda", "fit a market maker's model on recorded data"
    ),
    "conformance": Command("tickbus_cli.conformance", "check what a feed publishes"),
    "bench": Command("tickbus_cli.bench", "measure latency and throughput"),
}
HEADINGS = {
    "up": "the platform",
    "market": "the desk",
    "risk": "to limit and to stop",
    "history": "the books",
    "login": "who may do what",
    "new": "to build and to measure",
}
"""What the help says above a command, and those behind it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or given[0] not in COMMANDS:
        return _help(given)
    name, rest = given[0], given[1:]
    try:
        module = importlib.import_module(COMMANDS[name].module)
        parser = argparse.ArgumentParser(
            prog=f"tickbus {name}",
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(parser)
        code: int = module.run(parser.parse_args(rest))
    except CliError as error:
        return _fail(name, str(error), error.exit_code)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        return _fail(
            name, f"the package {missing!r} is not installed\n  Run `make setup`, then repeat."
        )
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain of the rest at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except KeyboardInterrupt:
        return _fail(name, "interrupted", EXIT_INTERRUPTED)
    except _expected() as error:
        return _fail(name, str(error))
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        what = f"{type(error).__name__}: {error}"
        return _fail(name, f"this should not happen: {what}\n  Repeat with {DEBUG}=1 to see where.")
    return code


def _expected() -> tuple[type[Exception], ...]:
    # Evaluated only when something was raised, so that --help need not import them.
    from tickbus.bus import BusError
    from tickbus.config import ConfigError
    from tickbus_embedded import EmbeddedError

    return BusError, ConfigError, EmbeddedError


def _fail(name: str, message: str, code: int = 1) -> int:
    print(f"tickbus {name}: {message}", file=sys.stderr)
    return code


def _help(given: Sequence[str]) -> int:
    if given and not given[0].startswith("-"):
        from tickbus.config import nearest

        hint = nearest(given[0], list(COMMANDS), "commands")
        print(f"tickbus: there is no command {given[0]!r}; {hint}", file=sys.stderr)
        return EXIT_USAGE
    lines = "\n".join(
        (f"\n{HEADINGS[name]}:\n" if name in HEADINGS else "") + f"  {name:<16}{command.help}"
        for name, command in COMMANDS.items()
    )
    parser = argparse.ArgumentParser(
        prog="tickbus",
        usage="tickbus COMMAND [ARGUMENTS]",
        description=f"{lines.lstrip()}\n\n`tickbus COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tickbus {__version__}")
    parser.parse_args(given)
    parser.print_help()
    return EXIT_USAGE
