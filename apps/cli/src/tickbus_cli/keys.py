"""List API keys, make them and take them back.

tickbus keys
tickbus keys create report read --expires 2027-01-01 --network 10.0.0.0/8
tickbus keys create bot read trade --out bot.key
tickbus keys delete 4fj2k8
tickbus keys rotate

`rotate` is for admins: access tokens of logins are signed with a new secret. Logins and API keys
stay; with --at-once, for a secret that got out, what was signed before is of no use any more.
"""

import argparse
import os
from pathlib import Path
from typing import Any, get_args

from tickbus_cli import gateway, showing
from tickbus_cli.errors import CliError
from tickbus_cli.times import at
from tickbus_client.calls import access

COLUMNS = (
    "id", "user", "name", "scopes", "networks", "created_at", "expires_at", "last_used_at",
    "last_used_from",
)  # fmt: skip
BRIEF = ("id", "user", "name", "scopes", "expires_at", "last_used_at")
SCOPES: tuple[access.Scope, ...] = get_args(access.Scope)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.set_defaults(what="list", csv=False)
    commands = parser.add_subparsers(metavar="COMMAND")
    listed = commands.add_parser("list", help="one's own (also without a command)")
    listed.set_defaults(what="list")
    create = commands.add_parser("create", help="make one; it is shown once")
    create.set_defaults(what="create")
    create.add_argument("name", help="what it is for")
    create.add_argument("scopes", nargs="+", choices=SCOPES, metavar="SCOPE",
                        help=f"what it may do: {', '.join(SCOPES)}")  # fmt: skip
    create.add_argument("--expires", type=showing.when, metavar="TIME", help="default: never")
    create.add_argument("--network", action="append", default=[], metavar="CIDR",
                        help="who may use it; repeat for several (default: all)")  # fmt: skip
    create.add_argument("--out", type=Path, metavar="FILE", help="write the key there instead")
    delete = commands.add_parser("delete", help="take one back, at once and for good")
    delete.set_defaults(what="delete")
    delete.add_argument("id", help="as `tickbus keys` shows it")
    rotate = commands.add_parser("rotate", help="sign the tokens of logins with a new secret")
    rotate.set_defaults(what="rotate")
    rotate.add_argument("--at-once", action="store_true", help="those of before end now")
    commanded = ((listed, True), (create, True), (delete, True), (rotate, True))
    for each, again in ((parser, False), *commanded):
        gateway.configure(each, again=again)
        gateway.add_json(each, again=again)
    for each, again in ((parser, False), (listed, True), (create, True)):
        default: Any = argparse.SUPPRESS if again else ""
        each.add_argument("--user", default=default, help="whose, for admins; * lists all")


def run(arguments: argparse.Namespace) -> int:
    """Do it; 0 when it is done."""
    with gateway.the_desk(arguments) as desk:
        match arguments.what:
            case "create":
                file: Path | None = arguments.out
                if file is not None and file.exists():
                    raise CliError(f"{file} is there already", "Choose another name.")
                made = desk.reply(
                    access.create_key(
                        arguments.name, arguments.scopes, expires_at=arguments.expires,
                        networks=arguments.network, user=arguments.user,
                    )
                )  # fmt: skip
                if file is None:
                    showing.tell(arguments, made, f"{made.data.key}   (shown once)")
                else:
                    _write(file, made.data.key)
                    showing.draw(f"key {made.data.id} is in {file}")
            case "delete":
                gone = desk.reply(access.delete_key(arguments.id))
                showing.tell(arguments, gone, f"key {arguments.id} is taken back")
            case "rotate":
                turned = desk.reply(access.rotate_signing_key(at_once=arguments.at_once))
                until = turned.data.earlier_until
                before = "are of no use any more" if until is None else f"end by {at(until)}"
                showing.tell(arguments, turned, f"a new secret signs; tokens of before {before}")
            case _:
                rows = [
                    (k.id, k.user, k.name, " ".join(k.scopes), " ".join(k.networks), k.created_at,
                     k.expires_at, k.last_used_at, k.last_used_from)
                    for k in desk.access.keys(arguments.user).keys
                ]  # fmt: skip
                showing.show(arguments, "API keys", COLUMNS, rows, BRIEF)
    return 0


def _write(file: Path, key: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(key + "\n")
