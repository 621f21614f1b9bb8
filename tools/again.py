"""Runs the few tests of whole platforms that failed once more, alone (docs/decisions/0036).

Reads what the run before it left in pytest's cache. Ends with pytest's status; with 1, and a word
why, when something failed that has to hold at the first time.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
AGAIN_MAX = 3
"""More at once is no accident."""
ONCE = re.compile(r"^tests/(chaos|control)/|books_are_equal|add_up|counted_once")
"""Where a failure may say that books differ: these have to pass whenever they run."""


def names(failed: Iterable[str]) -> list[str]:
    """The tests' own names: parallel runs add the group to them."""
    return sorted(re.sub(r"@slow-\d+$", "", name) for name in failed)


def refusal(failed: Sequence[str], slow: Iterable[str]) -> str:
    """Why `failed` are not run again; "" where they may be. `slow`: what starts platforms."""
    if not failed:
        return "nothing is known to have failed: the run itself did not end"
    if len(failed) > AGAIN_MAX:
        return f"{len(failed)} tests failed, and no more than {AGAIN_MAX} are run again"
    known = set(slow)
    for name in failed:
        if name not in known or ONCE.search(name):
            return f"{name} has to pass the first time"
    return ""


def last_failed(path: Path) -> list[str]:
    """The names that pytest left in its cache; none where it left nothing that can be read."""
    try:
        return names(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return []


def slow_among(failed: Sequence[str]) -> list[str]:
    """Those of `failed` that start whole platforms, by their marks or their place."""
    files = sorted({name.partition("::")[0] for name in failed})
    ask = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-m", "slow", *files]
    told = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    containers = [name for name in failed if name.startswith("tests/integration/")]
    return [line for line in told.stdout.splitlines() if "::" in line] + containers


def main() -> int:
    """Look at what failed and run it again, or say why not."""
    failed = last_failed(FAILED)
    why = refusal(failed, slow_among(failed) if failed else ())
    if why:
        print(f"again: no: {why}", flush=True)
        return 1
    for name in failed:
        print(f"again: FAILED ONCE, is run once more: {name}", flush=True)
    return subprocess.call([sys.executable, "-m", "pytest", "-n0", *failed], cwd=ROOT)


if __name__ == "__main__":
    raise SystemExit(main())
