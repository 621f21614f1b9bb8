"""One server as a child process: started, watched until it answers, stopped, never left behind."""

import asyncio
import contextlib
import functools
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tickbus_embedded.errors import EmbeddedError

READY_POLL_S = 0.02
LOG_TAIL_LINES = 3
LOG_TAIL_BYTES = 4096
KILL_TIMEOUT_S = 5.0
GUARD_TIMEOUT_S = 60.0


class ServerProcess:
    """A child in a session of its own, so a terminal's Ctrl-C reaches only its parent.

    `stop_signal` asks the server to end in order; where the system can (Linux with setpriv),
    the kernel sends the same signal when the parent dies, however it dies. The kernel means the
    parent's *thread*: start servers from a thread that lives as long as they shall. `before` runs
    in the child before the server does, and must not raise.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_path: Path,
        *,
        stop_signal: signal.Signals,
        privileges: Sequence[str] = (),
        before: Callable[[], object] | None = None,
    ) -> None:
        self._before = before
        self.name = name
        self.log_path = log_path
        self._command = [*guard(stop_signal, privileges), *command]
        self._stop_signal = stop_signal
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while the server does not run."""
        return self._child.pid if self._child and self.running else None

    @property
    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._child is not None and self._child.returncode is None

    async def start(self, answers: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
        """Start the child and wait until `answers` is true; it is stopped again if that fails.

        Raises EmbeddedError when the child ends before it answers or takes longer than `timeout_s`.
        """
        with self.log_path.open("wb") as log:
            self._child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._before,
            )
        try:
            async with asyncio.timeout(timeout_s):
                while not await answers():
                    if not self.running:
                        raise self._failure(f"ended with status {self._child.returncode}")
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError:
            await self.stop(KILL_TIMEOUT_S)
            raise self._failure(f"did not answer within {timeout_s:g} s") from None
        except BaseException:
            await self.stop(KILL_TIMEOUT_S)
            raise

    async def wait(self) -> int:
        """Wait for the child to end, in order or not; return its exit status."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return await self._child.wait()

    async def stop(self, timeout_s: float) -> None:
        """Ask the child to end and kill it after `timeout_s`; does nothing when it has ended."""
        if self._child is None or not self.running:
            return
        self._child.send_signal(self._stop_signal)
        try:
            async with asyncio.timeout(timeout_s):
                await self._child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):  # it ended as its time did
                self._child.kill()
            await self._child.wait()

    def log_tail(self) -> str:
        """The last lines of the server's log; empty when there are none."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - LOG_TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _failure(self, what: str) -> EmbeddedError:
        tail = self.log_tail()
        said = f"; it said:\n{tail}" if tail else ""
        return EmbeddedError(f"{self.name} {what}{said}", f"Its whole log is {self.log_path}")


def guard(stop_signal: signal.Signals, privileges: Sequence[str] = ()) -> list[str]:
    """The command prefix that ties a child to its parent and gives it `privileges`, if any."""
    if not can_guard():
        return []
    return ["setpriv", *privileges, "--pdeathsig", stop_signal.name.removeprefix("SIG")]


@functools.cache
def can_guard() -> bool:
    """Whether this system's setpriv (util-linux) can set the signal of the parent's death."""
    if sys.platform != "linux" or shutil.which("setpriv") is None:
        return False
    command = ["setpriv", "--pdeathsig", "TERM", "true"]
    tried = subprocess.run(command, capture_output=True, check=False, timeout=GUARD_TIMEOUT_S)
    return tried.returncode == 0
