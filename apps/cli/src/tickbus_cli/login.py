"""Log in at a gateway, so that the other commands act as this user.

tickbus login ann
tickbus login ann --password-file ann.txt --api-url https://desk.example.com

Programs use API keys instead: `tickbus keys create`. `tickbus logout` ends the login.
"""

import argparse
import getpass
import sys
from pathlib import Path

from tickbus_cli import gateway, sessions
from tickbus_cli.errors import CliError
from tickbus_client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("user")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="do not ask for it")
    gateway.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for the password, log in and keep it; 0 when it worked."""
    with gateway.telling():
        url = gateway.url_of(arguments)
        password = _password(arguments)
        with Client(url, "") as desk:
            tokens = desk.access.login(arguments.user, password)
        sessions.keep(sessions.of(url, tokens))
    print(f"logged in at {url} as {tokens.user}, {tokens.role}")
    return 0


def _password(arguments: argparse.Namespace) -> str:
    file: Path | None = arguments.password_file
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise CliError(f"{file}: {error.strerror}") from error
    if not sys.stdin.isatty():
        raise CliError("there is no terminal to ask for the password at", "Use --password-file.")
    return getpass.getpass(f"password of {arguments.user}: ")
