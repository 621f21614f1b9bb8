"""The embedded NATS server starts, keeps its streams, explains itself and leaves nothing behind."""

import asyncio
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import nats
import nats.errors
import psutil
import pytest

from tickbus_embedded import EmbeddedError, EmbeddedNats, free_port
from tickbus_embedded.process import ServerProcess, can_guard
from tickbus_testkit.patience import PATIENCE_S

"""For what a machine that tests share takes its time for."""
a_server = partial(EmbeddedNats, start_timeout_s=PATIENCE_S)


async def publish(url: str, data: bytes) -> None:
    client = await nats.connect(url)
    stream = client.jetstream(timeout=PATIENCE_S)
    await stream.add_stream(name="ORDERS", subjects=["orders.>"])
    await stream.publish("orders.event", data)
    await client.close()


async def first_message(url: str) -> bytes:
    client = await nats.connect(url)
    message = await client.jetstream(timeout=PATIENCE_S).get_msg("ORDERS", 1)
    await client.close()
    assert message.data is not None
    return message.data


async def test_streams_survive_a_restart(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    async with server:
        await publish(server.url, b"bought")
    assert server.pid is None
    async with server:
        assert await first_message(server.url) == b"bought"


async def test_streams_survive_a_kill(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        await publish(server.url, b"bought")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL
        await server.start()
        assert await first_message(server.url) == b"bought"


async def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError, match=rf"127\.0\.0\.1:{port}: .*pid {os.getpid()}"):
            await a_server(tmp_path, port=port).start()


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("in the way of the store's directory")
    with pytest.raises(EmbeddedError, match=r"(?s)ended with status 1.*not a directory.*log is"):
        await a_server(tmp_path).start()


async def test_the_monitor_answers(tmp_path: Path) -> None:
    port = free_port()
    async with a_server(tmp_path, monitor_port=port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"200 OK" in await reader.readline()
        writer.close()


async def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()


async def test_a_server_has_its_own_session(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        assert server.pid is not None
        assert os.getsid(server.pid) == server.pid != os.getsid(0)


async def test_a_deaf_server_is_killed_after_the_time_out(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(1, flush=True); time.sleep(60)"
    )
    process = ServerProcess(
        "deaf",
        [sys.executable, "-c", deaf],
        tmp_path / "log",
        stop_signal=signal.SIGTERM,
    )

    async def started() -> bool:
        return process.log_tail() == "1"

    await process.start(started, timeout_s=60)
    await process.stop(timeout_s=0.1)
    assert await process.wait() == -signal.SIGKILL


async def test_a_server_that_ends_as_its_time_runs_out_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = ServerProcess("late", ["sleep", "60"], tmp_path / "log", stop_signal=signal.SIGTERM)

    async def started() -> bool:
        return True

    await process.start(started, timeout_s=PATIENCE_S)
    wait, times = asyncio.subprocess.Process.wait, iter([TimeoutError])

    async def wait_and_be_late(child: asyncio.subprocess.Process) -> int:
        status = await wait(child)
        await asyncio.sleep(0)
        if late := next(times, None):
            raise late
        return status

    monkeypatch.setattr(asyncio.subprocess.Process, "wait", wait_and_be_late)
    await process.stop(PATIENCE_S)
    assert await process.wait() == -signal.SIGTERM


async def test_a_server_that_never_answers_is_stopped(tmp_path: Path) -> None:
    process = ServerProcess("mute", ["sleep", "60"], tmp_path / "log", stop_signal=signal.SIGTERM)

    async def never() -> bool:
        return False

    with pytest.raises(EmbeddedError, match=r"mute did not answer within 0\.1 s"):
        await process.start(never, timeout_s=0.1)
    assert not process.running


@pytest.mark.skipif(not can_guard(), reason="the system has no setpriv with --pdeathsig")
async def test_the_server_dies_with_its_parent(tmp_path: Path) -> None:
    parent_source = (
        "import asyncio, sys, pathlib, tickbus_embedded\n"
        "async def main():\n"
        "    async with tickbus_embedded.EmbeddedNats(\n"
        "        pathlib.Path(sys.argv[1]), start_timeout_s=60\n"
        "    ) as server:\n"
        "        print(server.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent_source, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    server = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(PATIENCE_S):
        while runs(server):
            await asyncio.sleep(0.02)


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two looks
        return False


ACCOUNTS = {"desk": {"jetstream": "enabled", "users": [{"user": "me", "password": "my-password"}]}}


async def test_with_accounts_nobody_else_connects_and_the_file_is_the_owners(
    tmp_path: Path,
) -> None:
    async with a_server(tmp_path, accounts=ACCOUNTS) as server:
        assert (tmp_path / "nats.json").stat().st_mode & 0o777 == 0o600
        with pytest.raises(nats.errors.Error):
            await nats.connect(server.url, allow_reconnect=False, connect_timeout=PATIENCE_S)
        client = await nats.connect(server.url, user="me", password="my-password")
        await client.close()


async def test_streams_of_before_there_were_accounts_are_adopted(tmp_path: Path) -> None:
    async with a_server(tmp_path) as server:
        await publish(server.url, b"bought")
    for _ in range(2):
        async with a_server(tmp_path, accounts=ACCOUNTS) as server:
            client = await nats.connect(server.url, user="me", password="my-password")
            message = await client.jetstream(timeout=PATIENCE_S).get_msg("ORDERS", 1)
            assert message.data == b"bought"
            await client.close()
