"""List users, make, change and remove them; needs the scope admin.

tickbus users
tickbus users create bob trader
tickbus users change bob --role viewer
tickbus users change bob --disable
tickbus users delete bob
tickbus users recover

The last is for a password that was lost, and needs none: it goes over the bus, as its operator.
"""

import argparse
import asyncio
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from tickbus_cli import asking, gateway, showing
from tickbus_cli.errors import CliError
from tickbus_client.calls import access

if TYPE_CHECKING:
    from tickbus_api.access.recovering import Recovered

COLUMNS = ("user", "role", "is_enabled", "scopes", "created_at")
ROLES: tuple[access.Role, ...] = get_args(access.Role)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.set_defaults(what="list", csv=False)
    gateway.configure(parser)
    gateway.add_json(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    _command(commands, "list", "every user (also without a command)")
    create = _command(commands, "create", "make one; a random password is shown once")
    create.add_argument("user")
    create.add_argument("role", choices=ROLES)
    change = _command(commands, "change", "another role, or out; holds at once")
    change.add_argument("user")
    change.add_argument("--role", choices=ROLES)
    state = change.add_mutually_exclusive_group()
    state.add_argument("--enable", dest="is_enabled", action="store_const", const=True)
    state.add_argument("--disable", dest="is_enabled", action="store_const", const=False)
    delete = _command(commands, "delete", "remove one, with logins and API keys")
    delete.add_argument("user")
    says = "a new random password for one who lost it, shown once; ends all their logins"
    lost = commands.add_parser("recover", help=says, description=says)
    lost.set_defaults(what="recover")
    lost.add_argument("user", nargs="?", default="", help="default: the only admin")
    asking.add_reaching(lost, again=True)
    gateway.add_json(lost, again=True)


def _command(commands: Any, name: str, says: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=says, description=says)
    parser.set_defaults(what=name)
    gateway.configure(parser, again=True)
    gateway.add_json(parser, again=True)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do it; 0 when it is done."""
    if arguments.what == "recover":
        return _recover(arguments)
    with gateway.the_desk(arguments) as desk:
        match arguments.what:
            case "create":
                made = desk.reply(access.create_user(arguments.user, arguments.role))
                first = f"password {made.data.password}   (shown once)"
                showing.tell(arguments, made, f"{made.data.user}, {made.data.role}: {first}")
            case "change":
                changed = desk.reply(
                    access.change_user(
                        arguments.user, role=arguments.role, is_enabled=arguments.is_enabled
                    )
                )
                user = changed.data
                out = "" if user.is_enabled else ", kept out"
                showing.tell(arguments, changed, f"{user.user}: {user.role}{out}")
            case "delete":
                gone = desk.reply(access.delete_user(arguments.user))
                showing.tell(arguments, gone, f"{arguments.user} is removed")
            case _:
                rows = [
                    (u.user, u.role, u.is_enabled, " ".join(u.scopes), u.created_at)
                    for u in desk.access.users().users
                ]
                showing.show(arguments, "users", COLUMNS, rows)
    return 0


def _recover(arguments: argparse.Namespace) -> int:
    if arguments.api_url or arguments.api_key_file:
        raise CliError(
            "recover goes over the bus, not over the gateway",
            "Say which platform with --data-dir, or --bus and TICKBUS_NATS_USER, _PASSWORD.",
            exit_code=2,
        )
    # The gateway's own code, which is much to load for all the other commands.
    from tickbus_api import recover

    try:
        done = asyncio.run(_recovered(arguments))
    except recover.NotRecovered as error:
        raise CliError(str(error)) from error
    if arguments.json:
        print(msgspec.json.encode(done._asdict()).decode())
    else:
        print(recover.sentence(done))
    return 0


async def _recovered(arguments: argparse.Namespace) -> "Recovered":
    from tickbus_api.recover import recovered

    async with asking.the_bus(arguments) as bus:
        return await recovered(bus, arguments.user)
