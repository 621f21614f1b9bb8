"""The users of a NATS server with all permissions on, as a platform in production has them."""

from collections.abc import Sequence

from tickbus import credentials, permissions
from tickbus.login import Login
from tickbus.permissions import StrategyUser

NEIGHBOR = "neighbor"
"""A user of tests who may say and hear everything."""


class Users:
    """Passwords drawn for one server, and what each process has to know of them."""

    def __init__(self, strategies: Sequence[StrategyUser] = (StrategyUser(),)) -> None:
        names = permissions.users(strategies, (NEIGHBOR,))
        self._passwords = {name: credentials.draw() for name in names}
        self.approval_key = credentials.draw()
        self.accounts = permissions.accounts(self._passwords, strategies, (NEIGHBOR,))

    def login(self, user: str) -> Login:
        """How `user` connects."""
        return Login(user, self._passwords[user])

    def of_the_server(self) -> dict[str, str]:
        """The passwords as a server with config/nats/nats.conf finds them in its environment."""
        return {credentials.variable(user): word for user, word in self._passwords.items()}

    def environment(self, user: str) -> dict[str, str]:
        """What the process of `user` is started with."""
        found = {"TICKBUS_NATS_USER": user, "TICKBUS_NATS_PASSWORD": self._passwords[user]}
        if user in credentials.SEALERS:
            found["TICKBUS_APPROVAL_KEY"] = self.approval_key
        return found
