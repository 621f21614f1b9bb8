"""Passwords of the NATS users: drawn, kept in files, and put into the server's configuration.

`python -m tickbus.credentials config` prints config/nats/nats.conf, which takes the passwords from
the environment; `python -m tickbus.credentials write DIR` draws them and writes a directory
for each user and the server. Both take `--strategy NAME=ID,ID` for strategies with their own users.
"""

import argparse
import json
import os
import secrets
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tickbus.permissions import StrategyUser, accounts, users

APPROVAL = "approval"
"""The file of the key that seals approvals, beside the passwords."""
SEALERS = ("risk", "execution", "router")
"""Who gets it: risk to seal with, the others to check."""
_HEAD = """\
# Who may say and hear what on the bus. Made from tickbus.permissions by
#   python -m tickbus.credentials config > config/nats/nats.conf
# Change it there: a test compares. Passwords come from the server's environment.
"""


def draw() -> str:
    """A new password or key; it begins with a letter, which the server's configuration wants."""
    return f"t{secrets.token_hex(20)}"


def variable(user: str) -> str:
    """The environment variable that holds a user's password for the server."""
    return f"TICKBUS_NATS_PASSWORD_{user.upper().replace('-', '_')}"


def server_configuration(
    passwords: dict[str, str], strategies: Sequence[StrategyUser]
) -> dict[str, Any]:
    """The whole configuration of a NATS server in a container of its own."""
    return {
        "listen": "0.0.0.0:4222",
        "http": "0.0.0.0:8222",
        "jetstream": {"store_dir": "/data"},
        "accounts": accounts(passwords, strategies),
    }


def render(strategies: Sequence[StrategyUser] = (StrategyUser(),)) -> str:
    """The text of config/nats/nats.conf."""
    names = {user: f"${variable(user)}" for user in users(strategies)}
    text = json.dumps(server_configuration(names, strategies), indent=2, ensure_ascii=False)
    for name in names.values():
        text = text.replace(f'"{name}"', name)  # in quotes it would be the password itself
    return f"{_HEAD}{text}\n"


def kept(directory: Path, names: Iterable[str]) -> dict[str, str]:
    """What the files of `directory` hold, one for each name; drawn where there is none.

    Files and directory are for their owner alone. Raises OSError.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {name: _kept(directory / name) for name in names}


def _kept(file: Path, mode: int = 0o600) -> str:
    try:
        found = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        found = ""
    if not found:
        found = draw()
        _write(file, found + "\n", mode)
    return found


def _write(file: Path, text: str, mode: int) -> None:
    # Whole or not at all, and never readable for others, not even for a moment.
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as out:
        out.write(text)
    temporary.chmod(mode)
    temporary.replace(file)


def write(directory: Path, strategies: Sequence[StrategyUser]) -> None:
    """`<user>/password` for each, `<user>/approval` for who seals, `nats/nats.conf`; kept if there.

    The files are readable for all: each directory is mounted only where its user runs. Raises
    OSError.
    """
    passwords: dict[str, str] = {}
    for user in users(strategies):
        place = directory / user
        place.mkdir(parents=True, exist_ok=True)
        passwords[user] = _kept(place / "password", 0o444)
    key = _kept(directory / SEALERS[0] / APPROVAL, 0o444)
    for other in SEALERS[1:]:
        _write(directory / other / APPROVAL, key + "\n", 0o444)
    (directory / "nats").mkdir(exist_ok=True)
    configuration = json.dumps(server_configuration(passwords, strategies), indent=2)
    _write(directory / "nats" / "nats.conf", configuration + "\n", 0o444)


def strategy_user(text: str) -> StrategyUser:
    """`NAME=ID,ID` as a user; NAME is `strategy` or `strategy-<name>`. Raises ValueError."""
    name, given, ids = text.partition("=")
    if not given or not ids:
        raise ValueError(f"{text!r}: write strategy-NAME=ID or strategy-NAME=ID,ID")
    return StrategyUser(name, tuple(ids.split(",")))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0, or 2 for what cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m tickbus.credentials", description=__doc__)
    parser.add_argument("what", choices=("config", "write"))
    parser.add_argument("directory", nargs="?", type=Path, help="for write")
    parser.add_argument("--strategy", action="append", default=[], metavar="NAME=ID,ID")
    options = parser.parse_args(arguments)
    try:
        own = [strategy_user(text) for text in options.strategy]
        strategies = [*([] if any(u.name == "strategy" for u in own) else [StrategyUser()]), *own]
        if options.what == "config":
            sys.stdout.write(render(strategies))
        elif options.directory is None:
            raise ValueError("write needs the directory to write to")
        else:
            write(options.directory, strategies)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
