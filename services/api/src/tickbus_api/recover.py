"""Give a user a new password where the gateway runs: python -m tickbus_api.recover [USER].

It uses the gateway's own login of the bus, and needs no gateway that runs. Without USER it is the
only admin. The password is printed once; all logins of the user end.
"""

import argparse
import asyncio
import getpass
import logging
import os
import socket
import sys
import time

from tickbus.bus import Bus, BusError, NatsBus
from tickbus.config import ConfigError, load
from tickbus_api.access.recovering import By, Recovered, recover
from tickbus_api.problems import Problem


class NotRecovered(Exception):
    """Nothing was told to anybody; the text says why, and what to do."""


async def recovered(bus: Bus, name: str) -> Recovered:
    """The user `name` with a new password, on record as done by who runs this process.

    Raises NotRecovered.
    """
    try:
        return await recover(bus, name, _by(), time.time_ns())
    except Problem as problem:
        raise NotRecovered(f"{problem.detail}\n  {problem.remedy}") from problem
    except ValueError as error:
        raise NotRecovered(str(error)) from error
    except (BusError, TimeoutError) as error:
        why = str(error) or "it does not answer"
        raise NotRecovered(f"the bus did not take it: {why}\n  Do it again.") from error


def sentence(done: Recovered) -> str:
    """What whoever did it has to know."""
    return (
        f"{done.user}, {done.role}: password {done.password}   (shown once)\n"
        f"{done.ended} logins ended; API keys stay. Log in, and take a password of your own."
    )


def _by() -> By:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"  # in a container nobody may have that name
    return By(user, socket.gethostname())


async def _run(name: str) -> Recovered:
    settings = load()
    bus = await NatsBus.connect(settings.bus_url, "tickbus-recover", settings.bus_login)
    try:
        return await recovered(bus, name)
    finally:
        await bus.close()


def main() -> int:
    """Do it; 0 when it is done."""
    parser = argparse.ArgumentParser(prog="python -m tickbus_api.recover", description=__doc__)
    parser.add_argument("user", nargs="?", default="", help="default: the only admin")
    name: str = parser.parse_args().user
    # The bus client talks of its connection to a log; here is nobody to read it.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        sys.stdout.write(f"{sentence(asyncio.run(_run(name)))}\n")
    except (NotRecovered, BusError, ConfigError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
