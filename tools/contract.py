"""Holds one service against its contract: ours, or the command that is to take its place.

    tools/contract.py SERVICE [COMMAND [PYTEST-ARGUMENT...]]

The servers are those of `tickbus up`, so that no container engine is needed.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = (
    "feed", "book", "strategy", "risk", "execution", "router", "ledger", "history", "alerts",
    "killswitch", "api",
)  # fmt: skip
EXIT_USAGE = 2


def problem(service: str, command: str) -> str:
    """What is wrong with the wish, and what helps; "" when nothing is."""
    if service not in SERVICES:
        return f"SERVICE={service!r}: there is no such service; there are {', '.join(SERVICES)}"
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"COMMAND={command!r}: {error}; quote it as for a shell"
    if words and shutil.which(words[0]) is None:
        return (
            f"COMMAND={command!r}: {words[0]} is no program that can be run; give its path, seen"
            f" from {ROOT}, and make it executable"
        )
    return ""


def main(arguments: Sequence[str]) -> int:
    """Run the contract; pytest's exit code, or 2 for a wish that cannot be fulfilled."""
    service, command, *more = [*arguments, "", ""][: max(2, len(arguments))]
    os.chdir(ROOT)
    if wrong := problem(service, command):
        print(wrong, file=sys.stderr)
        return EXIT_USAGE
    environment = {**os.environ, "TICKBUS_CONTRACT": service, "TICKBUS_BROKERS": "embedded"}
    environment[f"TICKBUS_CONTRACT_{service.upper()}"] = command
    tests = sorted(map(str, Path("tests/integration").glob("test_contracts_*.py")))
    words = [sys.executable, "-m", "pytest", *tests, "-p", "no:cacheprovider", *more]
    return subprocess.run(words, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
