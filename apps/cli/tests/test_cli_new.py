"""`tickbus new strategy`: what it makes works as it is, and nothing is ever overwritten."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tickbus
import tickbus_strategy
from tickbus.config import load
from tickbus_cli import new
from tickbus_cli.main import main
from tickbus_cli.practice import practice_capture
from tickbus_strategy.config import entries, seats

ROOT = Path(__file__).parents[3]
SOURCES = [str(Path(next(iter(p.__path__))).parent) for p in (tickbus, tickbus_strategy)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh skeleton."""
    return new.make(new.named("quiet_river"), tmp_path_factory.mktemp("strategies"))


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "MYPYPATH": os.pathsep.join(SOURCES)}, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_its_own_tests_pass_without_any_settings_of_ours(folder: Path) -> None:
    told = run(folder, "pytest", "-q", "-p", "no:cacheprovider")
    assert "5 passed" in told
    assert "warning" not in told.lower()


def test_it_is_formatted_and_clean(folder: Path) -> None:
    run(folder, "ruff", "check", "--no-cache", "--isolated", "--select", "E,F,I,B,UP,PT,RUF", ".")
    run(folder, "ruff", "format", "--no-cache", "--isolated", "--check", ".")


@pytest.mark.slow(30)
@pytest.mark.timeout(180)
def test_it_passes_strict_type_checks(folder: Path, tmp_path: Path) -> None:
    run(folder, "mypy", "--strict", "--cache-dir", str(tmp_path), ".")


def replayed(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "tickbus_cli", "replay", "practice.gz", "--json", *arguments],
        cwd=folder, capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip


def test_it_trades_on_its_practice_capture_the_same_each_time(folder: Path) -> None:
    first = replayed(folder, "--config", "config.yaml")
    assert first == replayed(folder, "--config", "config.yaml")
    report: Any = msgspec.json.decode(first)
    assert report["strategies"][0]["id"] == "quiet-river"
    assert report["strategies_failed"] == {}
    assert report["orders"]["denied"] == {}
    assert report["fills"] == report["signals"] > 10
    assert report["messages"]["gaps"] == report["messages"]["crossed"] == 0


def test_it_takes_parameters_on_the_command_line(folder: Path) -> None:
    name = "quiet_river.py:QuietRiver"
    many: Any = msgspec.json.decode(replayed(folder, "--strategy", name, "--params", "hold_s=1"))
    few: Any = msgspec.json.decode(replayed(folder, "--strategy", name, "--params", "hold_s=30"))
    assert many["fills"] > few["fills"] > 0


BREAKS = """
from tickbus_strategy import Strategy

class Breaks(Strategy):
    def on_quote(self, quote):
        self.buy(1, quote.bids)
"""


def test_a_replay_says_in_which_line_a_strategy_raised_and_is_no_success(folder: Path) -> None:
    (folder / "breaks.py").write_text(BREAKS, encoding="utf-8")
    words = ["replay", "practice.gz", "--json", "--strategy", "breaks.py:Breaks"]
    done = subprocess.run(
        [sys.executable, "-m", "tickbus_cli", *words],
        cwd=folder, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    (folder / "breaks.py").unlink()
    assert done.returncode == 1, done.stderr
    problem = msgspec.json.decode(done.stdout)["strategies_failed"]["Breaks"]
    assert problem.startswith("AttributeError")
    assert problem.endswith("in line 6 of breaks.py")


def test_its_configuration_is_found_from_anywhere(folder: Path) -> None:
    settings = load([ROOT / "config" / "default.yaml", folder / "config.yaml"], {})
    (seat,) = seats(settings, entries(settings))
    assert (type(seat.strategy).__name__, seat.market.instrument_id) == ("QuietRiver", "BTC-USDT")


def test_its_readme_has_the_commands_that_work_here(folder: Path) -> None:
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 10
    commands = [line.partition("  #")[0].strip() for line in lines[5:9]]
    verbs = [command.split()[1:2] for command in commands]
    assert verbs == [[], ["replay"], ["up"], ["strategies"]]
    for command in commands:
        program = command.split()[0]
        assert Path(program).is_file() or "/" not in program


def test_the_guide_leads_to_a_strategy_that_is_tested_and_trades(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "adding-a-strategy.md").read_text(encoding="utf-8")
    rule, story = (part.partition("```")[0] for part in guide.split("```python\n")[1:3])
    params = re.search(r"`(params: \{ run.*?\})`", guide)
    assert params is not None
    folder = new.make(new.named("tired_sellers"), tmp_path)
    config = (folder / "config.yaml").read_text(encoding="utf-8")
    (folder / "config.yaml").write_text(re.sub(r"params: \{.*\}", params[1], config))
    (folder / "tired_sellers.py").write_text(rule, encoding="utf-8")
    (folder / "test_tired_sellers.py").write_text(story, encoding="utf-8")
    assert "2 passed" in run(folder, "pytest", "-q", "-p", "no:cacheprovider")
    run(folder, "ruff", "check", "--no-cache", "--isolated", "--line-length", "100", ".")
    signals = [int(n) for n in re.findall(r"^signals (\d+)", guide, re.MULTILINE)]
    report: Any = msgspec.json.decode(replayed(folder, "--config", "config.yaml"))
    assert report["signals"] == report["fills"] == signals[1], "as the guide shows"
    name = "tired_sellers.py:TiredSellers"
    report = msgspec.json.decode(replayed(folder, "--strategy", name, "--params", "run=6"))
    assert report["signals"] == report["fills"] == signals[2]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("my_strategy", ("my_strategy", "MyStrategy", "my-strategy")),
        ("MyStrategy", ("my_strategy", "MyStrategy", "my-strategy")),
        ("x2", ("x2", "X2", "x2")),
        ("a_long_name_of_mine", ("a_long_name_of_mine", "ALongNameOfMine", "a-long-name-of-m")),
    ],
)
def test_names_follow_from_one(name: str, made: tuple[str, ...]) -> None:
    assert new.named(name) == made


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my-strategy", "Use letters, digits and _, a letter first: my_strategy."),
        ("2fast", "a letter first: fast."),
        ("", "is no name"),
        ("../up", "is no name"),
        ("naïve", "is no name"),
        ("class", "a word of the Python language"),
        ("json", "would hide"),
        ("msgspec", "would hide"),
        ("tickbus", "would hide"),
        ("test_mine", "takes for a test"),
        ("strategy", "my_strategy"),
    ],
)
def test_name_that_cannot_be_one_is_refused_with_a_better_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    assert main(["new", "strategy", "--dir", str(tmp_path), "--", name]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_that_exists_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "yours").write_text("a file")
    (tmp_path / "ours").symlink_to(tmp_path / "nowhere")
    for name in ("mine", "yours", "ours"):
        assert main(["new", "strategy", name, "--dir", str(tmp_path)]) == 2
        assert "nothing is overwritten" in capsys.readouterr().err
    assert not list((tmp_path / "mine").iterdir())
    assert (tmp_path / "yours").read_text() == "a file"


def test_not_inside_the_project_and_not_where_one_may_not_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "strategy", "mine", "--dir", str(ROOT / "docs")]) == 2
    assert f"--dir {ROOT.parent}" in capsys.readouterr().err
    assert not (ROOT / "docs" / "mine").exists()
    (tmp_path / "file").write_text("")
    assert main(["new", "strategy", "mine", "--dir", str(tmp_path / "file")]) == 1
    assert "Not a directory" in capsys.readouterr().err


def test_practice_is_the_same_for_all_and_another_by_another_seed() -> None:
    assert practice_capture(5) == practice_capture(5)
    assert practice_capture(5) != practice_capture(5, seed=2)


@pytest.mark.slow
def test_the_wheel_has_the_templates(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="needs hatchling")
    run(ROOT / "apps" / "cli", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.iterdir()
    inside = zipfile.ZipFile(wheel).namelist()
    for name in new.TEMPLATES:
        assert f"tickbus_cli/templates/strategy/{name}.txt" in inside
