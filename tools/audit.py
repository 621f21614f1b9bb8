"""Known holes in the pinned packages, asked of pip-audit; says so when it could not be asked.

    tools/audit.py PIP-AUDIT PINS...

0 when nothing is known against what was audited, and also when the data could not be reached: then
it prints that nothing was audited, because a desk without a network must still be able to check.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ACCEPTED = Path("requirements/vulnerabilities.toml")
TIMEOUT_S = 180
ASK = ("--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off")
"""The pins name every package by its hash: there is nothing to resolve, so pip is not asked."""
_PIN = re.compile(r"^[\w.-]+==(?:.*\\\n)*.*\n", re.MULTILINE)


class Report(NamedTuple):
    """`holes`: a line each, with what helps. `skipped`: packages of which nothing was told."""

    audited: int
    skipped: tuple[str, ...]
    holes: tuple[str, ...]


class NotAudited(Exception):
    """The data could not be reached; the text says why."""


def ask(program: Path, pins: Sequence[str]) -> dict[str, Any]:
    """pip-audit's own report on `pins`. Raises NotAudited."""
    files = [word for name in pins for word in ("--requirement", name)]
    try:
        done = subprocess.run(
            [str(program), *ASK, *files], capture_output=True, text=True, timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except OSError as error:
        raise NotAudited(f"{program} does not run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise NotAudited(f"no answer within {TIMEOUT_S} s") from error
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise NotAudited(last) from None
    return report


def first_pin(text: str) -> str:
    """The first package of a file of pins, with its hashes."""
    found = _PIN.search(text)
    return found[0] if found else ""


def probe(program: Path, pins: Sequence[str]) -> None:
    """Ask of one package, before all are asked for in vain. Raises NotAudited."""
    one = first_pin(Path(pins[0]).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "one.txt"
        file.write_text(one, encoding="utf-8")
        if not read(ask(program, [str(file)]), {}).audited:
            raise NotAudited(f"the data does not even know {one.partition(' ')[0]}")


def read(report: Mapping[str, Any], accepted: Mapping[str, str]) -> Report:
    """What pip-audit found, without the holes that are accepted."""
    told = [each for each in report["dependencies"] if "skip_reason" not in each]
    skipped = tuple(each["name"] for each in report["dependencies"] if "skip_reason" in each)
    holes = tuple(
        _line(each["name"], each["version"], hole)
        for each in told
        for hole in each["vulns"]
        if not accepted.keys() & {hole["id"], *hole.get("aliases", ())}
    )
    return Report(len(told), skipped, holes)


def _line(name: str, version: str, hole: Mapping[str, Any]) -> str:
    fixed = ", ".join(hole.get("fix_versions", ()))
    helps = (
        f"fixed in {fixed}: make pins ARGS='--upgrade-package {name}'"
        if fixed
        else f"not fixed yet: do without it, or say in {ACCEPTED} why it does not reach us"
    )
    return f"{name} {version}: {hole['id']}; {helps}"


def main(argv: Sequence[str]) -> int:
    """Audit; 1 when a hole is known."""
    program, *pins = argv
    accepted = tomllib.loads((ROOT / ACCEPTED).read_text(encoding="utf-8"))["accepted"]
    try:
        probe(Path(program), pins)
        found = read(ask(Path(program), pins), accepted)
    except NotAudited as error:
        print(f"audit: NOTHING WAS AUDITED: {error}")
        return 0
    for line in found.holes:
        print(f"audit: {line}", file=sys.stderr)
    missing = f"; NOT AUDITED: {', '.join(found.skipped)}" if found.skipped else ""
    print(f"audit: {found.audited} packages, {len(found.holes)} known holes{missing}")
    return 1 if found.holes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
