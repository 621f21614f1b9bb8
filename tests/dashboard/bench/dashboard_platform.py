"""The platform that the tests of the dashboard run against."""

from typing import NamedTuple

import psutil

from tickbus_testkit.story import Desk


class Running(NamedTuple):
    """The platform under test: where it is, and its process."""

    url: str
    desk: Desk
    process: int

    def gateway(self) -> psutil.Process:
        """The process of the gateway."""
        family = psutil.Process(self.process).children(recursive=True)
        return next(each for each in family if "tickbus_api" in " ".join(each.cmdline()))
