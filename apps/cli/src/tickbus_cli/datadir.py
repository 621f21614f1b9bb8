"""The data directory of one profile: ours or refused, locked while a platform runs on it."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

from tickbus_cli import platforms
from tickbus_cli.errors import CliError

BASE = Path(".tickbus")
MARKER = "tickbus-data"
LOCK = "lock"
RUNTIME = "platform.json"
EXCHANGE = "exchange"
PARTS = (
    "nats", "postgres", EXCHANGE, "credentials", "logs", "venues.yaml", "strategies.yaml", RUNTIME,
)  # fmt: skip
"""All that the platform writes there, besides marker and lock; nothing else is ever removed."""


class DataDir:
    """Where books, streams and logs of one profile are kept."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    @property
    def nats(self) -> Path:
        """JetStream's store."""
        return self.path / "nats"

    @property
    def postgres(self) -> Path:
        """The ledger's database."""
        return self.path / "postgres"

    def state(self, exchange: str) -> Path:
        """The account at one simulated exchange: `exchange`, or `exchange-<venue>`."""
        return self.path / exchange

    @property
    def credentials(self) -> Path:
        """The operator's password and the key of the approvals; for the owner's eyes alone."""
        return self.path / "credentials"

    def log(self, service: str) -> Path:
        """The log of one service."""
        return self.path / "logs" / f"{service}.log"

    def open(self, profile: str, fresh: bool) -> bool:
        """Lock it, and empty it if `fresh`; whether it held earlier books. Raises CliError."""
        try:
            return self._open(profile, fresh)
        except OSError as error:
            where = error.filename or self.path
            raise CliError(
                f"cannot use the data directory: {where}: {error.strerror}",
                "Free the disk or change its permissions, or choose another one with --data-dir.",
            ) from error

    def _open(self, profile: str, fresh: bool) -> bool:
        self.path.mkdir(parents=True, exist_ok=True)
        marker = self.path / MARKER
        if not marker.exists():
            if any(self.path.iterdir()):
                raise CliError(
                    f"{self.path} holds other people's files: it was not made by tickbus",
                    "Choose an empty or new directory with --data-dir.",
                )
            marker.write_text(profile + "\n", encoding="utf-8")
        self._take(profile, marker)
        if fresh:
            self._empty()
        known = self.postgres.exists()
        (self.path / "logs").mkdir(exist_ok=True)
        return known

    def _take(self, profile: str, marker: Path) -> None:
        lock = (self.path / LOCK).open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            lock.close()
            raise CliError(
                f"another platform (pid {pid}) runs on {self.path}",
                "See it with `tickbus status`, stop it with Ctrl-C or"
                f" `kill {pid}`, or start a second one with --data-dir and --port-offset 100.",
            ) from None
        self._lock = lock
        owner = marker.read_text(encoding="utf-8").strip()
        if owner != profile:
            self.close()
            raise CliError(
                f"{self.path} holds the books of {owner!r}, not of {profile!r}",
                "Books of different accounts are never mixed: choose another --data-dir.",
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()

    def _empty(self) -> None:
        further = [path.name for path in self.path.glob(f"{EXCHANGE}-*")]
        for name in (*PARTS, *further):
            part = self.path / name
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)

    def publish(self, facts: dict[str, Any]) -> None:
        """Tell `tickbus status` how to reach the platform; no secrets in here."""
        temporary = self.path / f"{RUNTIME}.new"
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.path / RUNTIME)
        platforms.note(self.path)

    def close(self) -> None:
        """Give the directory free for the next run."""
        if self._lock is not None:
            (self.path / RUNTIME).unlink(missing_ok=True)
            platforms.forget(self.path)
            self._lock.close()
            self._lock = None


def last_told(path: Path) -> dict[str, Any] | None:
    """What the platform on `path` said of itself; also of one that crashed, None after a stop."""
    try:
        facts = json.loads((path / RUNTIME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def running(path: Path) -> dict[str, Any] | None:
    """What the platform on `path` says of itself; None when none runs there."""
    facts = last_told(path)
    if facts is None:
        return None
    try:
        with (path / LOCK).open("a+", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return facts
    except OSError:
        return None
    return None  # the lock was free: whoever wrote the file is gone


def elsewhere(here: Path) -> dict[Path, dict[str, Any]]:
    """What the platforms of this user said of themselves that run, or crashed, not below `here`."""
    inside = here.absolute()
    told = {path: last_told(path) for path in platforms.noted() if path.parent != inside}
    return {path: facts for path, facts in told.items() if facts}


def find(data_dir: Path | None, base: Path = BASE) -> tuple[Path, dict[str, Any]]:
    """The one platform that runs on `data_dir`, or below `base`. Raises CliError."""
    candidates = [data_dir] if data_dir else sorted(base.glob("*")) if base.is_dir() else []
    found = [(path, facts) for path in candidates if (facts := running(path))]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(path) for path, _ in found)
        raise CliError(f"{len(found)} platforms run: {listed}", "Choose one with --data-dir.")
    where = data_dir or base.absolute()
    others = " or ".join(f"--data-dir {path}" for path in elsewhere(base) if running(path))
    raise CliError(
        f"no platform runs on {where}",
        "Start one with `make run` or `tickbus up`. "
        + (
            f"Elsewhere on this machine: {others}."
            if others
            else "One that runs is found in the folder where it was started, or by --data-dir."
        ),
    )
