"""How commands reach the gateway of a platform, and what becomes of its problems."""

import argparse
import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tickbus_cli import sessions
from tickbus_cli.datadir import find
from tickbus_cli.errors import CliError
from tickbus_cli.wording import in_commands
from tickbus_client import ApiError, Client, TickbusError, Unreachable
from tickbus_client.credentials import URL, Credential, key_from, key_of

UNAUTHENTICATED = 401


def configure(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add the arguments that say which platform is meant, and who asks.

    `again`: `parser` is that of a command within one that has them already; what was given there
    holds, too.
    """
    default = argparse.SUPPRESS if again else None
    parser.add_argument(
        "--api-url", metavar="URL", default=default,
        help=f"the gateway (default: ${URL}, or the one found)",
    )  # fmt: skip
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", default=default,
        help="the platform's data directory (default: the one that runs below .tickbus/)",
    )  # fmt: skip
    parser.add_argument(
        "--api-key-file", type=Path, metavar="FILE", default=default,
        help="an API key (default: $TICKBUS_API_KEY, or the file $TICKBUS_API_KEY_FILE)",
    )  # fmt: skip


def add_json(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add the argument for scripts; `again` as with `configure`."""
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS if again else False,
        help="JSON on standard output",
    )  # fmt: skip


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add the argument that obeys a name which nobody has."""
    parser.add_argument(
        "--even-if-unknown", action="store_true", help="also for a name that nobody has yet"
    )


def actor() -> str:
    """Who does it, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"  # a container may run as nobody who has a name


@contextmanager
def the_desk(arguments: argparse.Namespace) -> Iterator[Client]:
    """The gateway that the arguments mean. Raises CliError for whatever it refuses."""
    with telling():
        url = url_of(arguments)
        with Client(url, credential(arguments, url)) as desk:
            yield desk


@contextmanager
def telling() -> Iterator[None]:
    """Turn what the client raises into an error of the command line, with what helps."""
    try:
        yield
    except Unreachable as error:
        raise CliError(
            str(error), "See `tickbus status`, or name another gateway with --api-url."
        ) from error
    except ApiError as error:
        raise CliError(f"{in_commands(str(error))}{_advice(error)}") from error
    except TickbusError as error:
        raise CliError(str(error)) from error


def url_of(arguments: argparse.Namespace) -> str:
    """Where the gateway is. Raises CliError."""
    if arguments.api_url:
        return str(arguments.api_url)
    if arguments.data_dir is None and os.environ.get(URL):
        return os.environ[URL]
    return str(find(arguments.data_dir)[1]["api_url"])


def credential(arguments: argparse.Namespace, url: str) -> Credential:
    """The key that the arguments or the environment give, else whoever is logged in at `url`.

    Raises TickbusError.
    """
    file = arguments.api_key_file
    key = key_of(file) if file is not None else key_from()
    return key or partial(sessions.token, url)


def _advice(error: ApiError) -> str:
    if error.status == UNAUTHENTICATED:
        return "\n  At this terminal an API key is given with --api-key-file."
    if error.code == "UNKNOWN_STRATEGY":
        return "\n  `tickbus strategies kinds` lists what can be run."
    return ""
