"""`tickbus kill` as a person runs it: which accounts, what it asks, what its exit code says."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tickbus_cli import datadir, platforms
from tickbus_cli import kill as command
from tickbus_cli.datadir import DataDir
from tickbus_cli.errors import CliError
from tickbus_cli.main import main
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig
from tickbus_exchange.server import Server
from tickbus_killswitch.kill import read_settings, targets_of

ROOT = Path(__file__).parents[3]
DEAD = "nats://127.0.0.1:1"
NOWHERE = "http://127.0.0.1:1"
HEAVY = ("nats", "uvicorn", "fastapi", "psutil", "asyncpg", "matplotlib", "tickbus.runtime")
IMPORTS = f"""
import sys
import tickbus_cli.main, tickbus_cli.kill
print([name for name in {HEAVY!r} if name in sys.modules])
"""


@pytest.fixture
async def exchange() -> AsyncIterator[str]:
    server = Server(ExchangeConfig(listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES))
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.close()


def an_account(directory: Path, url: str, name: str = "sim", mode: str = "simulated") -> str:
    """A configuration file."""
    path = directory / f"{name}.yaml"
    venue = {
        "name": name, "adapter": "binance", "rest_url": url, "ws_url": "x", "ws_api_url": "x",
        "instruments": ["BTC-USDT"], "fees": {"maker": 0, "taker": 0},
    }  # fmt: skip
    sections = {
        "platform": {"mode": mode}, "bus": {"url": DEAD}, "venue": venue,
        "killswitch": {
            "timeout_s": 3 if url == NOWHERE else 60, "settle_s": 0.05,
            "request_timeout_s": 1 if url == NOWHERE else 20, "halt_wait_s": 30,
        },
    }  # fmt: skip
    path.write_text(json.dumps(sections), encoding="utf-8")
    return str(path)


async def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> tuple[int, Any, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TICKBUS_")}
    kept["XDG_STATE_HOME"] = str(cwd / "state")  # whatever runs on this machine is none of ours
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "tickbus_cli", "kill", "--json", *arguments],
        cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


async def test_each_configuration_is_an_account_and_a_dark_one_is_named(
    tmp_path: Path, exchange: str
) -> None:
    dark = an_account(tmp_path, NOWHERE, "dark")
    files = "--config", an_account(tmp_path, exchange), "--config", dark
    code, report, said = await run(*files)
    assert code == 3
    assert [(a["account"], a["verified"]) for a in report["accounts"]] == [
        ("sim", True), ("dark", False)
    ]  # fmt: skip
    assert "on dark" in report["summary"]
    assert "sim: cancelling everything on BTCUSDT" in said
    code, report, _ = await run(*files, "--venue", "sim")
    assert (code, len(report["accounts"])) == (0, 1)


async def test_platform_that_crashed_is_found_with_its_exchange(
    tmp_path: Path, exchange: str
) -> None:
    data = tmp_path / ".tickbus" / "sim"
    data.mkdir(parents=True)
    patient = tmp_path / "patient.yaml"
    patient.write_text("killswitch: {timeout_s: 60, request_timeout_s: 20}\n", encoding="utf-8")
    facts = {
        "nats_url": DEAD, "exchange_url": exchange,
        "config": [str(ROOT / "config" / "default.yaml"), str(patient)],
    }  # fmt: skip
    (data / "platform.json").write_text(json.dumps(facts), encoding="utf-8")
    # Keys of a real venue in the environment are not for the simulated one.
    code, report, said = await run(cwd=tmp_path, TICKBUS_VENUE_API_KEY="real")
    assert code == 0, said
    assert exchange in said
    assert report["accounts"][0]["verified"]


def a_platform_that_crashed(base: Path, name: str, config: str, exchange: str = "") -> None:
    data = base / ".tickbus" / name
    data.mkdir(parents=True)
    facts = {"nats_url": DEAD, "exchange_url": exchange, "config": [config]}
    (data / "platform.json").write_text(json.dumps(facts), encoding="utf-8")


async def test_a_platform_that_cannot_be_read_does_not_keep_the_others_from_being_cleared(
    tmp_path: Path, exchange: str
) -> None:
    a_platform_that_crashed(tmp_path, "gone", str(tmp_path / "moved.yaml"))
    a_platform_that_crashed(tmp_path, "sim", an_account(tmp_path, exchange), exchange)
    code, report, said = await run(cwd=tmp_path)
    assert code == 3, "orders may still be working at the one that is not known"
    assert [(a["account"], a["verified"]) for a in report["accounts"]] == [
        ("sim", True), (".tickbus/gone", False),
    ]  # fmt: skip
    assert "moved.yaml" in report["accounts"][1]["unverified"][0]
    assert ".tickbus/gone: NOT LOOKED AT" in said
    code, report, said = await run("--venue", "sim", cwd=tmp_path)
    assert (code, len(report["accounts"])) == (0, 1), said


async def test_a_platform_elsewhere_is_found_by_its_directory(
    tmp_path: Path, exchange: str
) -> None:
    a_platform_that_crashed(tmp_path, "live", an_account(tmp_path, exchange), exchange)
    there = str(tmp_path / ".tickbus" / "live")
    code, report, said = await run("--data-dir", there)
    assert (code, len(report["accounts"])) == (0, 1), said
    assert exchange in said
    code, _, said = await run("--data-dir", str(tmp_path))
    assert code == 1
    assert f"--data-dir {tmp_path}: no platform runs there, or crashed\n  Give its dir" in said
    code, report, _ = await run("--data-dir", there, "--data-dir", str(tmp_path))
    assert code == 3, "orders may still be working at the one that is not known"


def noted_elsewhere(base: Path, name: str, config: str, exchange: str = "") -> Path:
    """A platform that crashed in another folder, and the note of it that every folder sees."""
    folder = base / f"of-{name}"
    a_platform_that_crashed(folder, name, config, exchange)
    data = folder / ".tickbus" / name
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(base / "state"))
        platforms.note(data)
    return data


async def test_the_only_platform_of_this_machine_is_found_from_any_folder(
    tmp_path: Path, exchange: str
) -> None:
    code, report, said = await run(cwd=tmp_path)
    assert (code, report) == (1, {})
    assert "no platform of yours runs, or crashed, on this machine: taking config/" in said
    there = noted_elsewhere(tmp_path, "sim", an_account(tmp_path, exchange), exchange)
    code, report, said = await run(cwd=tmp_path)
    assert (code, len(report["accounts"])) == (0, 1), said
    assert f"taking the one on {there}" in said


async def test_between_several_elsewhere_nothing_is_guessed(tmp_path: Path, exchange: str) -> None:
    config = an_account(tmp_path, exchange)
    found = [noted_elsewhere(tmp_path, name, config, exchange) for name in ("one", "two")]
    code, report, said = await run(cwd=tmp_path)
    assert (code, report) == (2, {})
    assert "2 platforms crashed on this machine, none of them in this folder; nothing was" in said
    assert all(f"  --data-dir {path}\n" in said for path in found)
    code, report, said = await run("--all", cwd=tmp_path)
    assert (code, report["not_told"]) == (0, [DEAD]), said
    assert (await run("--all", "--config", config, cwd=tmp_path))[0] == 2


def test_a_platform_that_runs_elsewhere_is_named_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    here, there = tmp_path / "here", DataDir(tmp_path / "there")
    a_platform_that_crashed(here, "sim", "x.yaml")
    there.open("sim", fresh=False)
    there.publish({"nats_url": DEAD, "config": ["y.yaml"]})
    monkeypatch.chdir(here)
    said: list[str] = []
    found = command._of_this_machine(said.append, everywhere=False)
    assert list(found) == [Path(".tickbus/sim")]
    assert said == [
        f"NOT TOUCHED: another platform runs on {there.path}: --data-dir {there.path}, or --all"
    ]
    assert set(command._of_this_machine(said.append, everywhere=True)) == {*found, there.path}
    with pytest.raises(CliError, match=f"Elsewhere on this machine: --data-dir {there.path}"):
        datadir.find(None)
    there.close()
    assert platforms.noted() == []


async def test_a_login_that_cannot_be_read_stops_no_kill(tmp_path: Path, exchange: str) -> None:
    a_platform_that_crashed(tmp_path, "sim", an_account(tmp_path, exchange), exchange)
    (tmp_path / ".tickbus" / "sim" / "credentials" / "operator").mkdir(parents=True)
    code, report, said = await run(cwd=tmp_path)
    assert (code, report["not_told"]) == (0, [DEAD]), said


async def test_two_platforms_with_one_account_are_no_mistake(tmp_path: Path, exchange: str) -> None:
    config = an_account(tmp_path, exchange)
    for name in ("one", "two"):
        a_platform_that_crashed(tmp_path, name, config, exchange)
    code, report, said = await run(cwd=tmp_path)
    assert (code, len(report["accounts"])) == (0, 1), said


async def test_unknown_venue_and_no_terminal_do_nothing(tmp_path: Path, exchange: str) -> None:
    code, _, said = await run("--config", an_account(tmp_path, exchange), "--venue", "simm")
    assert code == 1
    assert "--venue simm: no such account; nothing was done\n  Did you mean 'sim'?" in said
    live = an_account(tmp_path, exchange, "live-1", "live")
    code, report, said = await run("--config", live)
    assert (code, report) == (1, {})
    assert "--yes" in said
    code, report, said = await run(
        "--config", live, "--yes",
        TICKBUS_LIVE_1_API_KEY="sim-key", TICKBUS_LIVE_1_API_SECRET="sim-secret",
    )  # fmt: skip
    assert code == 0, said


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("typed", ["kill\n", "\n", "yes\n"])
def test_any_other_word_is_no_confirmation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    config = an_account(tmp_path, NOWHERE, "live-1", "live")
    targets = targets_of(read_settings([config]))
    monkeypatch.setattr("sys.stdin", _Terminal(typed))
    with pytest.raises(CliError, match="nothing was done"):
        command._confirm(targets, flatten=False)
    monkeypatch.setattr("sys.stdin", _Terminal("KILL\n"))
    command._confirm(targets, flatten=True)


def test_a_person_gets_lines_and_a_loud_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TICKBUS_CONFIG", raising=False)
    config = an_account(tmp_path, NOWHERE)
    assert main(["kill", "--config", config, "--reason", "drill"]) == 3
    said = capsys.readouterr().out
    assert "sim: NOT VERIFIED" in said
    assert "not known: whether orders work is not known" in said
    assert f"risk was NOT TOLD at {DEAD}" in said
    assert "!!!!" in said
    assert "ORDERS MAY STILL BE WORKING on sim" in said


async def test_a_halt_lasts_until_somebody_resumes(
    tmp_path: Path, exchange: str, nats_url: str
) -> None:
    config = Path(an_account(tmp_path, exchange))
    config.write_text(config.read_text(encoding="utf-8").replace(DEAD, nats_url), encoding="utf-8")
    code, report, said = await run("--config", str(config), "--reason", "quotes look wrong")
    assert (code, report["halted"]) == (0, True), said

    async def resume(*arguments: str) -> tuple[int, str]:
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "tickbus_cli", "resume", *arguments],
            capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, said = await resume("--config", str(config))
    assert code == 1
    assert "trading is HALTED since" in said
    assert "quotes look wrong" in said
    code, said = await resume("--config", str(config), "--yes")
    assert (code, said.splitlines()[-1]) == (0, "trading is ACTIVE")
    assert await resume("--config", str(config)) == (0, "trading is ACTIVE already\n")


def test_the_way_to_the_first_cancel_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
