"""Who somebody is on the bus; on its own, so that reading a configuration loads no bus client."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Login:
    """A user of the NATS server; the password is in no representation of it."""

    user: str
    password: str = field(repr=False)
