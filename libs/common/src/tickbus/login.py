"""Where the bus is and who somebody is on it; on its own, so that reading it loads no client."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Login:
    """A user of the NATS server; the password is in no representation of it."""

    user: str
    password: str = field(repr=False)


def servers(url: str) -> list[str]:
    """The address of each server in `url`: one, or those of a cluster with commas between."""
    return [address for part in url.split(",") if (address := part.strip())]
