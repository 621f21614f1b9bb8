"""The platform as processes: real servers, services that only pretend."""

import asyncio
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tickbus_cli.datadir import DataDir
from tickbus_cli.errors import CliError
from tickbus_cli.profile import SERVICES, Ports, choose
from tickbus_cli.running import Plan, Platform, Stopped
from tickbus_cli.supervisor import Child, Crash, last_words, ready_when
from tickbus_embedded import free_port

PRETEND = r"""
import http.server, json, os, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
    def log_message(self, *_): pass
port = int(os.environ["TICKBUS_METRICS_PORT"])
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
flag = sys.argv[1] if len(sys.argv) > 1 else ""
while not (flag and os.path.exists(flag)):
    time.sleep(0.02)
print(json.dumps({"level": "critical", "message": "risk.position_max is missing"}), flush=True)
print("bye", flush=True)
sys.exit(2)
"""


class SomePorts(Ports):
    """Ports that nobody else uses."""

    def __init__(self) -> None:
        super().__init__()
        chosen: dict[str, int] = {}
        object.__setattr__(self, "chosen", chosen)
        for name in ("nats", "api", "exchange", *SERVICES):
            chosen[name] = free_port()
        chosen["api-metrics"] = free_port()

    chosen: dict[str, int]

    @property
    def nats(self) -> int:
        return self.chosen["nats"]

    @property
    def exchange(self) -> int:
        return self.chosen["exchange"]

    @property
    def api(self) -> int:
        return self.chosen["api"]

    def metrics(self, service: str) -> int:
        return self.chosen["api-metrics" if service == "api" else service]


def a_plan(directory: Path, flag: Path | None = None) -> Plan:
    pretend = (sys.executable, "-c", PRETEND)
    commands: dict[str, tuple[str, ...]] = dict.fromkeys(SERVICES, pretend)
    if flag is not None:
        commands["risk"] = (*pretend, str(flag))
    data = DataDir(directory)
    data.open("binance-paper", fresh=False)
    return Plan(
        profile=choose("binance", False),
        ports=SomePorts(),
        files=(),
        data=data,
        run_id="r",
        environment=dict(os.environ),
        commands=commands,
    )


@asynccontextmanager
async def a_platform(plan: Plan) -> AsyncIterator[tuple[Platform, list[str]]]:
    said: list[str] = []
    platform = Platform(plan, said.append)
    try:
        yield platform, said
    finally:
        await platform.stop()
        plan.data.close()


def pids(platform: Platform) -> list[int]:
    servers = [server.pid for server in platform._servers.values()]
    return [*(child.pid for child in platform.children.values()), *(p for p in servers if p)]


def gone(wanted: list[int], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(_lives(pid) for pid in wanted):
            return True
        time.sleep(0.05)
    return False


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_everything_starts_says_so_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickbus_cli.running.READY_TIMEOUT_S", 90.0)
    async with a_platform(a_plan(tmp_path / "d")) as (platform, said):
        await platform.start()
        running = pids(platform)
        assert len(running) == len(SERVICES) + 2
        facts = json.loads((tmp_path / "d" / "platform.json").read_text(encoding="utf-8"))
        assert facts["profile"] == "binance-paper"
        assert "password" not in json.dumps(facts)
        for name in ("nats", "postgres", *SERVICES):
            assert any(line.strip().startswith(f"{name}: ready in ") for line in said), name
    assert gone(running, 30.0)
    order = [line.strip() for line in said]
    strategies_first = order.index("stopping: strategies first")
    cancel = order.index("cancelling working orders")
    services = order.index(
        "stopping alerts, api, history, ledger, execution, risk, book, feed, killswitch"
    )
    assert strategies_first < cancel < services < order.index("stopping postgres")
    assert order[-1] == "stopping nats"


async def test_a_crashed_child_is_named_with_its_last_words(tmp_path: Path) -> None:
    flag = tmp_path / "crash"
    async with a_platform(a_plan(tmp_path / "d", flag)) as (platform, _):
        await platform.start()
        running = pids(platform)
        flag.touch()
        with pytest.raises(Stopped):
            await platform.unless_stopped(asyncio.sleep(120))
        assert platform.crash is not None
        text = str(platform.crash.error())
        assert "risk ended unexpectedly (exit code 2): risk.position_max is missing" in text
        assert "risk.log" in text
    assert gone(running, 30.0)


async def test_stopping_during_the_start_ends_what_was_started(tmp_path: Path) -> None:
    async with a_platform(a_plan(tmp_path / "d")) as (platform, _):
        asyncio.get_running_loop().call_later(0.3, platform.stopping.set)
        with pytest.raises(Stopped):
            await platform.start()
        running = pids(platform)
    assert gone(running, 30.0)


def test_a_file_of_the_working_directory_hides_no_module_from_a_service(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise RuntimeError('hidden')\n")
    plan = dataclasses.replace(a_plan(tmp_path / "d"), commands={})
    child = Platform(plan, print)._child("risk", ["--help"], {}, ready_when(1, "/readyz"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(
        child._command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    plan.data.close()
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_a_hurry_kills_at_once(tmp_path: Path) -> None:
    async with a_platform(a_plan(tmp_path / "d")) as (platform, said):
        await platform.start()
        running = pids(platform)
        platform.hurry.set()
    assert gone(running, 30.0)
    assert any("hurrying" in line for line in said)


async def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    plan = a_plan(tmp_path / "d")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", plan.ports.api))
        taken.listen()
        async with a_platform(plan) as (platform, _):
            with pytest.raises(CliError) as caught:
                await platform.start()
            assert not pids(platform)
    text = str(caught.value)
    assert f":{plan.ports.api}" in text
    assert str(os.getpid()) in text
    assert "--port-offset 100" in text


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
def test_kill_9_of_the_parent_leaves_nothing_running(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_cli_running import a_plan, pids; from tickbus_cli.running import Platform\n"
        "async def main():\n"
        "    platform = Platform(a_plan(Path(sys.argv[1])), lambda text: None)\n"
        "    await platform.start()\n"
        "    print(*pids(platform), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "d")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        running = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert len(running) == len(SERVICES) + 2
    assert gone(running, 30.0)


async def test_a_child_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\n"
    stubborn += "while True: time.sleep(1)"
    log = tmp_path / "x.log"

    async def started() -> str:
        return "" if log.read_text(encoding="utf-8") else "its start"

    child = Child("x", (sys.executable, "-c", stubborn), os.environ, log, started)
    await child.start()
    await child.until_ready()
    assert not await child.stop(0.2)
    assert not child.running


async def test_a_service_that_waits_does_not_keep_the_others_from_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickbus_cli.running.SAY_WAITING_S", 0.2)
    monkeypatch.setattr("tickbus_cli.running.READY_TIMEOUT_S", 0.4)
    plan = a_plan(tmp_path / "d")
    mute = (sys.executable, "-c", "import time; time.sleep(600)")
    plan = dataclasses.replace(plan, commands={**plan.commands, "feed": mute})
    async with a_platform(plan) as (platform, said):
        await platform.start()
        assert platform.children["feed"].running
    assert any(line.strip().startswith("feed: waiting for its start (log:") for line in said)


async def test_readiness_tells_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickbus_cli.supervisor.PROBE_TIMEOUT_S", 60.0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 503 X\r\n\r\n{"ready":false,"waiting_for":{"bus":"NATS at x"}}')
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await ready_when(port, "/readyz")() == "NATS at x"
    assert await ready_when(free_port(), "/readyz")() == "its start"


def test_last_words_prefer_the_last_error(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert last_words(log) == ""
    log.write_text("plain\nTraceback: boom\n", encoding="utf-8")
    assert last_words(log) == "Traceback: boom"
    log.write_text('{"level":"error","message":"A"}\n{"level":"info","message":"B"}\n', "utf-8")
    assert last_words(log) == "A"


def test_a_crash_by_a_signal_is_named() -> None:
    assert "SIGKILL" in Crash("feed", -9, "", Path("x")).message
