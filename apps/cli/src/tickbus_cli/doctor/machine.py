"""The machine: Python, the packages, disk, ports, open files."""

import importlib.util
import os
import re
import resource
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from tickbus import __version__
from tickbus_cli.doctor.finding import Finding, bad, ok, skipped, warning
from tickbus_cli.further import service_of
from tickbus_cli.profile import Ports
from tickbus_embedded import EmbeddedError
from tickbus_embedded.ports import require_free

PYTHON_MIN = (3, 11)
GB = 1_000_000_000
DISK_MIN_BYTES = 1 * GB
DISK_LOW_BYTES = 10 * GB
FILES_MIN = 1024
HOST = "127.0.0.1"
NAMED_MAX = 5
_PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)( ;)?", re.MULTILINE)


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Whether this Python is one that tickbus is made for."""
    text = ".".join(map(str, version))
    if version[:2] < PYTHON_MIN:
        wanted = ".".join(map(str, PYTHON_MIN))
        return bad("python", f"Python {text} is too old", f"install Python {wanted} or newer")
    return ok("python", f"Python {text}")


def packages(processes: Sequence[str]) -> list[Finding]:
    """Whether everything that is to run is installed, and of one version."""
    names = sorted({service_of(name) for name in processes})
    missing = [name for name in names if importlib.util.find_spec(f"tickbus_{name}") is None]
    if missing:
        listed = ", ".join(f"tickbus-{name}" for name in missing)
        return [bad("packages", f"not installed: {listed}", "run `make setup`")]
    other = {}
    for name in ("tickbus", *(f"tickbus-{name}" for name in names)):
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # run from its sources: there is only one version of those
        if found != __version__:
            other[name] = found
    if other:
        listed = ", ".join(f"{name} {version}" for name, version in other.items())
        says = f"not of version {__version__}: {listed}"
        return [bad("packages", says, "run `make setup`, so that all are of one version")]
    return [ok("packages", f"{len(names)} services, tickbus {__version__}")]


def pins(file: Path) -> Finding:
    """Whether what is installed is of the versions that were tested, as `file` pins them."""
    if not file.is_file():
        return skipped("pins", f"there is no {file} to compare with")
    wanted = _PIN.findall(file.read_text(encoding="utf-8"))
    missing, other = [], []
    for name, version, condition in wanted:
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            if not condition:  # else it may be meant for another system
                missing.append(f"{name} {version}")
            continue
        if found != version:
            other.append(f"{name} {found}, tested with {version}")
    remedy = f"run `make setup`, or pip install --requirement {file}"
    if missing:
        return bad("pins", f"not installed: {_some(missing)}", remedy)
    if other:
        return warning("pins", f"not what was tested: {_some(other)}", remedy)
    return ok("pins", f"{len(wanted)} packages are what was tested")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return "; ".join(names[:NAMED_MAX]) + more


def disk(directory: Path, free_bytes: int | None = None) -> Finding:
    """Whether there is room for the stream, the books and the logs."""
    place = directory
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free if free_bytes is None else free_bytes
    says = f"{free / GB:.1f} GB free for {directory}"
    if not os.access(place, os.W_OK | os.X_OK):
        mend = f"let this user write to {place}, or keep the data elsewhere with --data-dir"
        return bad("disk", f"{says}, where this user may not write", mend)
    remedy = "free some, or keep the data elsewhere with --data-dir"
    if free < DISK_MIN_BYTES:
        return bad("disk", says, remedy)
    return warning("disk", says, remedy) if free < DISK_LOW_BYTES else ok("disk", says)


def open_files(limit: int | None = None) -> Finding:
    """Whether a process may open enough connections and files."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    if soft != resource.RLIM_INFINITY and soft < FILES_MIN:
        says = f"a process may open {soft} files"
        return warning("open files", says, f"raise it: `ulimit -n {4 * FILES_MIN}`")
    return ok("open files", "unlimited" if soft == resource.RLIM_INFINITY else str(soft))


def ports(wanted: Ports, simulated: bool, holder: int | None) -> list[Finding]:
    """Whether `tickbus up` could listen; `holder` is the pid of the platform that runs already."""
    if holder is not None:
        return [skipped("ports", f"the platform that runs here (pid {holder}) has them")]
    found = []
    for name, port in wanted.all(simulated).items():
        try:
            require_free(name, HOST, port)
        except EmbeddedError as error:
            remedy = f"stop it, or use others: --port-offset {wanted.offset + 100}"
            found.append(bad(f"port {port}", error.message, remedy))
    return found or [ok("ports", f"{len(wanted.all(simulated))} are free")]
