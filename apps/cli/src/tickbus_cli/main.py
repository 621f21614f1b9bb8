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
    "risk": Command("tickbus_cli.risk", "show what risk enforces, change its limits"),
    "halt": Command("tickbus_cli.halt", "stop trading, of everything or of one strategy"),
    "feed": Command("tickbus_cli.feed", "run the feed of one venue, or record it"),
    "kill": Command("tickbus_cli.kill", "cancel every order of every account, whatever is down"),
    "resume": Command("tickbus_cli.resume", "let trading go on after a halt"),
    "dead-letters": Command(
        "tickbus_cli.dead_letters", "messages that a service could never handle"
    ),
    "history": Command("tickbus_cli.history", "list past orders, fills, profit and loss"),
    "ledger": Command("tickbus_cli.ledger", "explain a balance"),
    "audit": Command("tickbus_cli.audit", "check that the books are what happened"),
    "reconcile": Command("tickbus_cli.reconcile", "compare the accounts at the venues now"),
    "replay": Command("tickbus_cli.replay", "run recorded market data through the platform"),
    "inspect": Command("tickbus_cli.inspect", "show what a capture holds"),
    "conformance": Command("tickbus_cli.conformance", "check what a feed publishes"),
    "bench": Command("tickbus_cli.bench", "measure latency and throughput"),
}


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
    lines = "\n".join(f"  {name:<13} {command.help}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="tickbus",
        usage="tickbus COMMAND [ARGUMENTS]",
        description=f"commands:\n{lines}\n\n`tickbus COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tickbus {__version__}")
    parser.add_argument("command", nargs="?", choices=COMMANDS, help=argparse.SUPPRESS)
    parser.parse_args(given)
    parser.print_help()
    return EXIT_USAGE
