"""What a release is made of, as CycloneDX: a list of parts for each image and for the dashboard.

    tools/sbom.py validate FILE...      held against the schema; needs requirements/release.txt

An image holds the pinned packages of requirements/images, exactly those that are meant for Linux,
beside our own. What its base image holds is for who makes that one to list.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import Requirement

from licenses import OWN, Rules, locked, told

SPEC = "1.6"
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
_PYTHON = re.compile(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)-", re.MULTILINE)
IMAGES = Path("requirements/images")
SHARED = ("libs/common", "libs/orderbook")
"""Our own members in every image, beside the service."""
Part = dict[str, Any]


def environment(root: Path) -> dict[str, str]:
    """What markers of pins are held against: the Python that the Dockerfile names, on Linux."""
    found = _PYTHON.search((root / "Dockerfile").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{root / 'Dockerfile'}: no ARG PYTHON_IMAGE=python:<version>-...")
    return {**LINUX, "python_version": found[1], "python_full_version": f"{found[1]}.0"}


def pins(text: str, environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and version of each package in a file of pins that `environment` installs."""
    found = []
    for line in text.splitlines():
        if not line or line[0] in " #":
            continue
        wanted = Requirement(line.removesuffix("\\").strip())
        if wanted.marker is None or wanted.marker.evaluate(dict(environment)):
            (one,) = wanted.specifier
            found.append((wanted.name, one.version))
    return found


def of_image(root: Path, service: str, version: str, made_at: str, rules: Rules) -> Part:
    """The parts of one service's image; `made_at` is a time as ISO 8601."""
    where = environment(root)
    both = {
        pin
        for name in ("common", service)
        for pin in pins((root / IMAGES / f"{name}.txt").read_text(encoding="utf-8"), where)
    }
    own = [_own(root / place, version) for place in (*SHARED, f"services/{service}")]
    about = _about("container", f"{OWN}-{service}", version) | {"components": own}
    parts = [
        _part("pypi", name, version, told(metadata.metadata(name), rules))
        for name, version in sorted(both)
    ]
    return _list(about, parts, made_at)


def of_dashboard(root: Path, version: str, made_at: str) -> Part:
    """What npm puts into the page that the gateway serves."""
    about = _about("application", f"{OWN}-dashboard", version)
    parts = [_part("npm", *each) for each in sorted(locked(root, shipped_only=True))]
    return _list(about, parts, made_at)


def _about(kind: str, name: str, version: str) -> Part:
    return {
        "type": kind, "bom-ref": name, "name": name, "version": version,
        "licenses": [_license("MIT")],
    }  # fmt: skip


def _own(member: Path, version: str) -> Part:
    project = tomllib.loads((member / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return _part("pypi", project["name"], version, project["license"])


def _part(kind: str, name: str, version: str, license: str) -> Part:
    purl = f"pkg:{kind}/{name.replace('@', '%40')}@{version}"
    return {
        "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
        "licenses": [_license(license)],
    }  # fmt: skip


def _license(text: str) -> Part:
    return {"expression": text} if " " in text else {"license": {"id": text}}


def _list(about: Part, parts: Sequence[Part], made_at: str) -> Part:
    serial = uuid5(NAMESPACE_URL, json.dumps([about, parts], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": serial.urn,  # the same of the same parts
        "version": 1,
        "metadata": {"timestamp": made_at, "component": about},
        "components": list(parts),
        "dependencies": [{"ref": about["bom-ref"], "dependsOn": [p["bom-ref"] for p in parts]}],
    }


def validate(files: Iterable[str]) -> list[str]:
    """Hold lists of parts against the schema; a line for each that breaks it."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    judge = JsonStrictValidator(SchemaVersion.from_version(SPEC))
    found = []
    for name in files:
        error = judge.validate_str(Path(name).read_text(encoding="utf-8"))
        if error is not None:
            found.append(f"{name}: {str(error).splitlines()[0]}")  # then the whole schema
    return found


if __name__ == "__main__":
    verb, *names = sys.argv[1:]
    wrong = validate(names) if verb == "validate" else [f"{verb!r} is no verb"]
    for line in wrong:
        print(f"sbom: {line}", file=sys.stderr)
    sys.exit(1 if wrong else 0)
