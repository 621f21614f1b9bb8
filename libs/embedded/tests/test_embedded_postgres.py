"""The embedded Postgres keeps its books, its password and its manners."""

import asyncio
import os
import signal
import socket
import stat
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from tickbus_embedded import EmbeddedError, EmbeddedPostgres, postgres

a_server = partial(EmbeddedPostgres, start_timeout_s=60)


async def run(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def write_fill(dsn: str) -> None:
    await run(dsn, "CREATE TABLE fills (price numeric)")
    await run(dsn, "INSERT INTO fills VALUES (101.5)")


async def fills(dsn: str) -> object:
    return await run(dsn, "SELECT count(*) FROM fills WHERE price = 101.5")


async def test_books_and_password_survive_a_restart(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        await write_fill(server.dsn)
        port, dsn = server.port, server.dsn
    async with a_server(tmp_path, port=port) as server:
        assert server.dsn == dsn
        assert await fills(server.dsn) == 1


async def test_books_survive_a_kill(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        await write_fill(server.dsn)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL
        await server.start()
        assert await fills(server.dsn) == 1


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
async def test_books_wait_for_the_disk_unless_they_need_not_last(
    tmp_path: Path, durable: bool, fsync: str
) -> None:
    async with a_server(tmp_path, durable=durable) as server:
        assert await run(server.dsn, "SHOW fsync") == fsync


async def test_a_process_id_given_out_again_is_no_obstacle(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        lock = tmp_path / "cluster" / "postmaster.pid"
        locked = lock.read_text()
    lock.write_text(locked.replace(locked.split()[0], str(os.getppid()), 1))
    async with a_server(tmp_path) as server:
        assert await run(server.dsn, "SELECT 1") == 1


async def test_books_in_use_are_not_served_twice(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        with pytest.raises(EmbeddedError, match=rf"pid {server.pid}\) already serves"):
            await a_server(tmp_path).start()
        assert await run(server.dsn, "SELECT 1") == 1


async def test_an_interrupted_first_start_is_made_good(tmp_path: Path) -> None:
    partial = tmp_path / "cluster.partial"
    partial.mkdir()
    (partial / "PG_VERSION").write_text("18")
    async with a_server(tmp_path) as server:
        assert await run(server.dsn, "SELECT 1") == 1


async def test_a_server_that_stands_still_after_its_first_answer_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PROBE_TIMEOUT_S", 0.5)
    server = a_server(tmp_path)
    first_answer = server._answers

    async def answers() -> bool:
        is_there, pid = await first_answer(), server.pid
        if is_there and pid is not None:
            os.kill(pid, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(1, os.kill, pid, signal.SIGCONT)
        return is_there

    monkeypatch.setattr(server, "_answers", answers)
    async with server:
        assert await run(server.dsn, "SELECT 1") == 1


async def test_a_server_that_gives_no_database_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = a_server(tmp_path)
    first_answer = server._answers

    async def answers() -> bool:
        is_there = await first_answer()
        if is_there:
            server._start_timeout_s = 0.1
        return is_there

    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server, "_answers", answers)
    monkeypatch.setattr(server, "_ensure_database", never)
    with pytest.raises(EmbeddedError, match=r"did not give a database within 0\.1 s"):
        await server.start()
    assert server.pid is None


async def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError, match=rf"127\.0\.0\.1:{port}: .*pid {os.getpid()}"):
            await a_server(tmp_path, port=port).start()


async def test_only_the_password_opens_the_books(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        secret = tmp_path / "password"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        wrong = server.dsn.replace(secret.read_text().strip(), "guess")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await run(wrong, "SELECT 1")


async def test_a_changed_password_is_explained(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        pass
    (tmp_path / "password").write_text("forgotten")
    with pytest.raises(EmbeddedError, match="refuses the password"):
        await server.start()
    assert server.pid is None


async def test_a_lost_password_is_explained(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        pass
    (tmp_path / "password").unlink()
    with pytest.raises(EmbeddedError, match="Put the file back"):
        await server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up being root")
async def test_postgres_never_runs_as_root(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
