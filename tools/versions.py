"""The one version of everything: where it is written down, and how it is changed."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PATTERN = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_SET = r"(?P<version>\d+\.\d+\.\d+)"
_PROJECT = rf'^version = "{_SET}"$'
_JSON = rf'^  "version": "{_SET}",$'
_LOCK = rf'"name": "tickbus-dashboard",\s+"version": "{_SET}"'
_LABEL = rf"^ARG VERSION={_SET}$"
_TAG = rf"newTag: {_SET}\}}$"
_BAKE = rf'^  default = "{_SET}"$'


class Place(NamedTuple):
    """One file, and what in it is the version."""

    path: Path
    pattern: str


class VersionError(Exception):
    """The version is not written where it should be; the text says where."""


def places(root: Path) -> Iterator[Place]:
    """Every place, relative to `root`."""
    for member in sorted(root.glob("*/*/pyproject.toml")):
        yield Place(member.relative_to(root), _PROJECT)
    dashboard = Path("services/api/dashboard")
    yield Place(Path("libs/common/src/tickbus/__init__.py"), rf'^__version__ = "{_SET}"$')
    yield Place(dashboard / "package.json", _JSON)
    yield Place(dashboard / "package-lock.json", _LOCK)
    yield Place(Path("Dockerfile"), _LABEL)
    yield Place(Path("docker-bake.hcl"), _BAKE)
    yield Place(Path("k8s/overlays/production/kustomization.yaml"), _TAG)


def stated(root: Path) -> Mapping[Path, tuple[str, ...]]:
    """The versions that each place states. Raises VersionError for one that states none."""
    found = {}
    for path, pattern in places(root):
        text = (root / path).read_text(encoding="utf-8")
        versions = tuple(m["version"] for m in re.finditer(pattern, text, re.MULTILINE))
        if not versions:
            raise VersionError(f"{path}: no version where {pattern!r} looks for it")
        found[path] = versions
    return found


def write(root: Path, version: str) -> list[Path]:
    """State `version` everywhere; returns the files that changed. Raises VersionError."""
    if PATTERN.fullmatch(version) is None:
        raise VersionError(f"{version!r} is no version: write three numbers, as in 1.4.0")
    changed = []
    stated(root)  # all or none
    for path, pattern in places(root):
        text = (root / path).read_text(encoding="utf-8")

        def put(match: re.Match[str]) -> str:
            start, end = (at - match.start() for at in match.span("version"))
            return match[0][:start] + version + match[0][end:]

        new = re.sub(pattern, put, text, flags=re.MULTILINE)
        if new != text:
            (root / path).write_text(new, encoding="utf-8")
            changed.append(path)
    return changed
