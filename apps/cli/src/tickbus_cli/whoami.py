"""Show who the gateway takes one for, and what one may do."""

import argparse

from tickbus_cli import gateway, showing
from tickbus_client.calls import access


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    gateway.configure(parser)
    gateway.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 where one is known."""
    with gateway.the_desk(arguments) as desk:
        reply = desk.reply(access.me())
    if arguments.json:
        showing.whole(reply)
    else:
        me = reply.data
        key = f" {me.key_id}" if me.key_id else ""
        showing.draw(f"{me.user}, {me.role}, by {me.via}{key}: {', '.join(me.scopes)}")
    return 0
