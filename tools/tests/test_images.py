"""Each image holds what its service imports, of the versions that were tested, and not more."""

import ast
import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from licenses import ROOT
from release import services
from sbom import IMAGES, SHARED, environment, pins

WHERE = environment(ROOT)
BRINGS = metadata.packages_distributions()
OPTIONAL = {"pyarrow"}
"""The gateway writes Parquet where this is installed, and says that it cannot where it is not."""


def pinned(name: str) -> dict[str, str]:
    return dict(pins((ROOT / "requirements" / name).read_text(encoding="utf-8"), WHERE))


def distributions(module: str) -> set[str]:
    """The packages that bring `module`, spelled as in the pins."""
    found = BRINGS.get(module, [module])
    return {each.lower().replace("_", "-") for each in found}


@cache
def imported(folder: Path) -> set[str]:
    """Top names of all modules that the sources below `folder` import, also the late ones."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return {name for name in found if not name.startswith("tickbus")} - sys.stdlib_module_names


@pytest.mark.parametrize("service", services(ROOT))
def test_an_image_holds_what_its_service_imports(service: str) -> None:
    held = {*pinned("images/common.txt"), *pinned(f"images/{service}.txt")}
    wanted = set()
    for place in (*SHARED, f"services/{service}"):
        wanted |= imported(ROOT / place / "src")
    missing = {name for name in wanted - OPTIONAL if not held & distributions(name)}
    assert not missing, f"not in requirements/images: {missing}"


@pytest.mark.parametrize("service", services(ROOT))
def test_nothing_is_asked_for_that_the_service_does_not_import(service: str) -> None:
    wanted = (ROOT / IMAGES / f"{service}.in").read_text(encoding="utf-8").splitlines()[1:]
    said = imported(ROOT / "services" / service / "src")
    used = {each for name in said for each in distributions(name)}
    # The gateway's server takes httptools by itself where it is.
    assert set(wanted) <= used | {"httptools"}


def test_all_images_hold_the_versions_that_were_tested() -> None:
    tested, runtime = pinned("dev.txt"), pinned("runtime.txt")
    together: dict[str, str] = {}
    for path in sorted((ROOT / IMAGES).glob("*.txt")):
        for name, version in pinned(f"images/{path.name}").items():
            assert tested[name] == version, path
            together[name] = version
    assert together == runtime


def test_a_release_makes_an_image_of_every_service() -> None:
    bake = (ROOT / "docker-bake.hcl").read_text(encoding="utf-8")
    assert re.findall(r'^      "(\w+)",$', bake, re.MULTILINE) == services(ROOT)
    sets = {path.stem for path in (ROOT / IMAGES).glob("*.in")}
    assert sets == {"common", *services(ROOT)}
