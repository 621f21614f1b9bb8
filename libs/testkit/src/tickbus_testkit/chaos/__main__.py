"""Runs chaos from the command line, at the root of the repository.

`python -m tickbus_testkit.chaos --minutes 5 --seed 1 --mode spot` runs the whole platform against
simulated exchanges on NATS and Postgres of its own, in a temporary directory, on loopback only.
Whatever dies is started again, as Compose or Kubernetes would; nothing else is mended. At the end
the faults stop, the strategies are stopped in order, and every order, fill, fee, balance, position
and payment of ours must be the exchanges', to the last digit.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from pathlib import Path

import msgspec

from tickbus_testkit.chaos.modes import MODES
from tickbus_testkit.chaos.run import Chaos


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> int:
    """Run from the command line; 0 when the books are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=MODES, default="spot")
    parser.add_argument("--keep", type=Path, help="keep logs and stores in this directory")
    arguments = parser.parse_args()
    for asked_to_stop in (signal.SIGINT, signal.SIGTERM):  # all that was started is stopped then
        signal.signal(asked_to_stop, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        directory = arguments.keep
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        directory.mkdir(parents=True, exist_ok=True)
        mode, seconds = MODES[arguments.mode], arguments.minutes * 60
        chaos = Chaos(mode, arguments.seed, seconds, directory, Path.cwd(), _say)
        report = asyncio.run(chaos.run())
    sys.stdout.write(json.dumps(msgspec.to_builtins(report), indent=2) + "\n")
    return 0 if report.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
