"""Child processes: started, watched until they are ready, stopped in order, never left behind."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tickbus_cli.errors import CliError
from tickbus_embedded.process import guard

READY_POLL_S = 0.05
PROBE_TIMEOUT_S = 1.0
LOG_TAIL_BYTES = 64 * 1024
EXIT_CONFIG = 2

Ready = Callable[[], Awaitable[str]]
"""What a child still waits for; "" when it is ready."""


@dataclass(frozen=True)
class Crash:
    """A child that ended without having been asked to."""

    name: str
    status: int
    last_words: str
    log: Path

    @property
    def message(self) -> str:
        """What happened, for people."""
        how = f"exit code {self.status}"
        if self.status < 0:
            with contextlib.suppress(ValueError):
                how = f"killed by {signal.Signals(-self.status).name}"
        words = f": {self.last_words}" if self.last_words else ""
        return f"{self.name} ended unexpectedly ({how}){words}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.status == EXIT_CONFIG:
            return f"Correct that and start again. Its log: {self.log}"
        return f"Its log says more: {self.log}\n  Starting again continues from the stored books."

    def error(self) -> CliError:
        """The same as an error of the command line."""
        return CliError(self.message, self.remedy)


class Child:
    """One service as a process of its own session: a terminal's Ctrl-C reaches only its parent.

    Where the system can (Linux with setpriv) the kernel kills it when its parent dies, however.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        ready: Ready,
    ) -> None:
        self.name = name
        self.log = log
        self.ready_in_s = 0.0
        self.waiting_for = "its start"
        self._command = [*guard(signal.SIGKILL), *command]
        self._environment = dict(environment)
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None
        self._asked_to_stop = False
        self._started = 0.0

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process; the log of the run before is kept as `.1`."""
        self._started = time.monotonic()
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    async def until_ready(self) -> None:
        """Wait, however long it takes, until the child says that it is ready."""
        while True:
            self.waiting_for = await self._ready()
            if not self.waiting_for:
                self.ready_in_s = time.monotonic() - self._started
                return
            await asyncio.sleep(READY_POLL_S)

    async def ended(self) -> Crash | None:
        """Wait for the end; None when the child was asked to stop."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        status = await self._process.wait()
        if self._asked_to_stop:
            return None
        return Crash(self.name, status, last_words(self.log), self.log)

    async def stop(self, timeout_s: float) -> bool:
        """Ask the child to end; False when it had to be killed after `timeout_s`."""
        self._asked_to_stop = True
        if self._process is None or not self.running:
            return True
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
            return False
        return True

    def kill(self) -> None:
        """End the child at once."""
        self._asked_to_stop = True
        if self._process is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def ready_when(port: int, path: str) -> Ready:
    """A probe that is satisfied when GET `path` on a local port answers 200."""

    async def probe() -> str:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                status, body = await _get(port, path)
        except (OSError, ValueError):  # a TimeoutError is an OSError
            return "its start"
        return "" if status == 200 else _reasons(body)

    return probe


async def _get(port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body
    except IndexError as error:
        raise ValueError("not HTTP") from error
    finally:
        writer.close()


def _reasons(body: bytes) -> str:
    try:
        waiting = json.loads(body)["waiting_for"]
        return "; ".join(waiting.values()) or "something"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "something"


def last_words(log: Path) -> str:
    """The last error in a log, else its last line that is no log entry; "" without either."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    plain = ""
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            plain = plain or line.strip()
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "critical"):
            return str(entry.get("message", ""))
    return plain
