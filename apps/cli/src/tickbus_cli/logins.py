"""Who is who on the bus of a platform on this machine: drawn for a run, each told only its own."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tickbus import credentials, permissions
from tickbus.config import Settings
from tickbus.login import Login
from tickbus_cli import datadir
from tickbus_cli.errors import CliError

BASE = Path(".tickbus")


@dataclass(frozen=True)
class Logins:
    """The users of one run: new passwords each time, the key of the approvals the old one.

    Approvals are read again after a restart, so what they are checked with has to stay.
    """

    accounts: Mapping[str, Any]
    operator: Login
    _passwords: Mapping[str, str]
    _approval_key: str

    @classmethod
    def draw(cls, directory: Path, strategies: Sequence[str], separate: Sequence[str] = ()) -> Self:
        """Draw them, and keep what outlives this process in `directory`. Raises CliError.

        `strategies` are the ids that one user speaks for; those in `separate` have one each.
        """
        user = permissions.StrategyUser
        try:
            own = tuple(user(f"{permissions.STRATEGY}-{name}", (name,)) for name in separate)
            own = own or (user(ids=tuple(strategies)),)
        except ValueError as error:
            raise CliError(f"strategies: {error}", "Give the strategy another id.") from error
        passwords = {user: credentials.draw() for user in permissions.users(own)}
        (directory / permissions.OPERATOR).unlink(missing_ok=True)
        kept = credentials.kept(directory, (permissions.OPERATOR, credentials.APPROVAL))
        passwords[permissions.OPERATOR] = kept[permissions.OPERATOR]
        operator = Login(permissions.OPERATOR, passwords[permissions.OPERATOR])
        accounts = permissions.accounts(passwords, own)
        return cls(accounts, operator, passwords, kept[credentials.APPROVAL])

    def environment(self, service: str) -> dict[str, str]:
        """What a service has to know, and nobody else."""
        found = {
            "TICKBUS_NATS_USER": service,
            "TICKBUS_NATS_PASSWORD": self._passwords[service],
        }
        if service in credentials.SEALERS:
            found["TICKBUS_APPROVAL_KEY"] = self._approval_key
        return found


def operator(directory: Path) -> Login | None:
    """The operator's login of the platform that runs on `directory`; None where it has none.

    Raises CliError for who may not read it.
    """
    file = directory / "credentials" / permissions.OPERATOR
    try:
        return Login(permissions.OPERATOR, file.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CliError(
            f"{file}: {error.strerror}", "Ask as the user who started the platform."
        ) from error


def for_url(url: str, base: Path = BASE) -> Login | None:
    """What the environment says, else the login of the platform below `base` that is at `url`."""
    given = Settings({}, os.environ).bus_login
    if given is not None:
        return given
    for path in sorted(base.glob("*")) if base.is_dir() else ():
        facts = datadir.running(path)
        if facts is not None and facts.get("nats_url") == url:
            return operator(path)
    return None
