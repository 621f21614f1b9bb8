"""What is built of the command line holds all that it needs without a working copy."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="builds the package with hatchling: make setup")
MEMBER = Path(__file__).parents[1]
ASKS = """
from pathlib import Path
import tickbus_cli
from tickbus.config import load
from tickbus_cli.doctor import machine
from tickbus_cli.profile import VENUES, choose, configuration_files, find_configuration

print(Path(tickbus_cli.__file__).parent)
directory = find_configuration(Path.cwd())
print(directory)
print(machine.pins(directory.parent / "requirements" / "runtime.txt").level)
for venue in VENUES:
    settings = load(configuration_files(directory, choose(venue, False), []), {})
    print(venue, settings.venue.name)
"""


def build(member: Path, target: str, into: Path) -> Path:
    """The one file that is built of `member`."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)],
        cwd=member, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (made,) = into.iterdir()
    return made


def unpacked(wheel: Path, into: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(into)
    return into


def test_without_a_working_copy_the_packaged_configuration_is_found(tmp_path: Path) -> None:
    site = unpacked(build(MEMBER, "wheel", tmp_path / "wheel"), tmp_path / "site")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    others = [path for path in sys.path if path and not path.endswith("apps/cli/src")]
    asked = subprocess.run(
        [sys.executable, "-c", ASKS], cwd=empty, check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *others])}, timeout=120,
    )  # fmt: skip
    package, directory, pins, *venues = asked.stdout.splitlines()
    assert package == str(site / "tickbus_cli"), "not the working copy"
    assert directory == str(site / "tickbus_cli" / "config")
    assert pins in ("OK", "WARNING"), "the pins are packaged, too"
    assert venues[0].split()[0] == "sim"
    assert len(venues) > 1


def test_a_wheel_made_of_the_source_distribution_has_it_too(tmp_path: Path) -> None:
    source = build(MEMBER, "sdist", tmp_path / "sdist")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (root,) = (tmp_path / "source").iterdir()
    site = unpacked(build(root, "wheel", tmp_path / "wheel"), tmp_path / "site")
    packaged = site / "tickbus_cli" / "config" / "default.yaml"
    default = MEMBER.parents[1] / "config" / "default.yaml"
    assert packaged.read_text(encoding="utf-8") == default.read_text(encoding="utf-8")
