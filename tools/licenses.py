"""Every installed package, and every package of the dashboard, comes under a license we accept.

Python's are read from the metadata of what is installed, npm's from the lock file. What is accepted
is in requirements/licenses.toml.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RULES = Path("requirements/licenses.toml")
LOCK = Path("services/api/dashboard/package-lock.json")
OWN = "tickbus"
_TOKEN = re.compile(r"[()]|[^\s()]+")
_CLASSIFIER = "License :: "


class Rules(NamedTuple):
    """`accepted`: SPDX ids. `spellings`: SPDX ids by what packages write in their place."""

    accepted: frozenset[str]
    spellings: Mapping[str, str]


class Package(NamedTuple):
    """One dependency; `license` is an SPDX expression, or whatever else it says, or ""."""

    name: str
    version: str
    license: str


def rules(root: Path = ROOT) -> Rules:
    """Read what is accepted."""
    read = tomllib.loads((root / RULES).read_text(encoding="utf-8"))
    return Rules(frozenset(read["accepted"]), read["spellings"])


def expression(said: Mapping[str, str], classifiers: Iterable[str], rules: Rules) -> str:
    """What a package's metadata says of its license, as an SPDX expression where it can be told.

    The expression goes before the old field `License`, and that before the classifiers.
    """
    if said.get("License-Expression"):
        return said["License-Expression"]
    field = " ".join((said.get("License") or "").split())
    if is_accepted(field, rules):
        return rules.spellings.get(field, field)
    last = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith(_CLASSIFIER)]
    known = [rules.spellings[name] for name in last if name in rules.spellings]
    # Two classifiers may mean both or one of the two: here both have to be accepted.
    return " AND ".join(known) or field[:80]


def is_accepted(text: str, rules: Rules) -> bool:
    """Whether an SPDX expression is fulfilled by what is accepted; AND binds before OR."""
    tokens = _TOKEN.findall(rules.spellings.get(text, text))
    if not tokens:
        return False
    try:
        value = _either(tokens, rules.accepted)
    except IndexError:
        return False
    return value and not tokens


def _either(tokens: list[str], accepted: frozenset[str]) -> bool:
    value = _both(tokens, accepted)
    while tokens and tokens[0].upper() == "OR":
        tokens.pop(0)
        value = _both(tokens, accepted) or value
    return value


def _both(tokens: list[str], accepted: frozenset[str]) -> bool:
    value = _one(tokens, accepted)
    while tokens and tokens[0].upper() == "AND":
        tokens.pop(0)
        value = _one(tokens, accepted) and value
    return value


def _one(tokens: list[str], accepted: frozenset[str]) -> bool:
    word = tokens.pop(0)
    if word == "(":
        value = _either(tokens, accepted)
        return tokens.pop(0) == ")" and value
    if tokens[:1] == ["WITH"]:  # an exception permits more, never less
        del tokens[:2]
    return word in accepted


def installed(rules: Rules) -> Iterator[Package]:
    """Everything that is installed here, but for our own members."""
    for found in metadata.distributions():
        name = found.metadata["Name"]
        if name == OWN or name.startswith(f"{OWN}-"):
            continue
        yield Package(name, found.version, told(found.metadata, rules))


def told(about: metadata.PackageMetadata, rules: Rules) -> str:
    """What one distribution tells of its license, see `expression`."""
    fields = {key: about[key] for key in ("License-Expression", "License") if key in about}
    return expression(fields, about.get_all("Classifier") or [], rules)


def locked(root: Path = ROOT, *, shipped_only: bool = False) -> Iterator[Package]:
    """Everything that the dashboard is built from; `shipped_only`: that ends in its page."""
    lock = json.loads((root / LOCK).read_text(encoding="utf-8"))
    for place, facts in lock["packages"].items():
        if place and not (shipped_only and facts.get("dev")):  # "" is the dashboard itself
            name = place.rpartition("node_modules/")[2]
            yield Package(name, facts["version"], facts.get("license", ""))


def refused(packages: Iterable[Package], rules: Rules) -> list[str]:
    """One line for each package whose license is not accepted, with what helps."""
    return [
        f"{name} {version}: its license is {license or 'not told'}, which is not accepted. Use"
        f" another package; or, if its terms suit, add the SPDX id to {RULES}"
        for name, version, license in sorted(set(packages))
        if not is_accepted(license, rules)
    ]


def main() -> int:
    """Check all; 1 when a license is not accepted."""
    known = rules()
    packages = {*installed(known), *locked()}
    lines = refused(packages, known)
    for line in lines:
        print(f"licenses: {line}", file=sys.stderr)
    print(f"licenses: {len(packages)} packages, {len(lines)} not accepted")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
