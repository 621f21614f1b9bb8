"""End the login that `tickbus login` began."""

import argparse

from tickbus_cli import gateway, sessions
from tickbus_client import Client, TickbusError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    gateway.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """End it at the gateway and here; 0 also where there was none."""
    url = gateway.url_of(arguments)
    session = sessions.known(url)
    if session is None:
        print(f"nobody is logged in at {url}")
        return 0
    try:
        with Client(url, "") as desk:
            desk.access.logout(session.refresh_token)
    except TickbusError as error:
        print(f"forgotten here; the gateway did not confirm it: {error}")
    sessions.forget(url)
    print(f"{session.user} is logged out at {url}")
    return 0
