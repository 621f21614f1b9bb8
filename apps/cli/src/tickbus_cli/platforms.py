"""The platforms of this user on this machine, wherever they were started: each notes where it is.

A note is a file with the path of a data directory; it is gone after an orderly stop, and stays
after a crash, when orders may still be working.
"""

import contextlib
import hashlib
import os
from pathlib import Path


def state_folder(name: str) -> Path:
    """Where this user keeps what is called `name` of the command line's own."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "tickbus" / name


def note(directory: Path) -> None:
    """Note that a platform runs on `directory`."""
    # Without a home that can be written it is found where it was started, or by --data-dir.
    with contextlib.suppress(OSError, RuntimeError):
        file = _file(directory)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(f"{directory.absolute()}\n", encoding="utf-8")


def forget(directory: Path) -> None:
    """Note that none runs there any more."""
    with contextlib.suppress(OSError, RuntimeError):
        _file(directory).unlink(missing_ok=True)


def noted() -> list[Path]:
    """The data directories that are noted and still there, by name."""
    found = []
    with contextlib.suppress(OSError, RuntimeError):
        for file in state_folder("platforms").glob("*"):
            path = Path(file.read_text(encoding="utf-8").strip())
            if path.is_absolute() and path.is_dir():
                found.append(path)
    return sorted(found)


def _file(directory: Path) -> Path:
    name = hashlib.sha256(str(directory.absolute()).encode()).hexdigest()[:16]
    return state_folder("platforms") / name
