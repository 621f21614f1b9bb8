"""`--strategy` and `--params`: what is configured, what is registered, and a file of one's own."""

import os
import sys
from argparse import ArgumentParser
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tickbus.config import ConfigError, Settings, load
from tickbus_cli import choosing, examining, up
from tickbus_cli.errors import CliError
from tickbus_cli.main import main
from tickbus_strategy.config import entries, seats

ROOT = Path(__file__).parents[3]
DEFAULT = ROOT / "config" / "default.yaml"
MINE = """
import msgspec
from decimal import Decimal
from tickbus_strategy import Strategy

class MineParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: Decimal = Decimal(1)
    word: str = "none"

class Mine(Strategy):
    Params = MineParams
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A strategy of one's own, and the configuration beside it."""
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    entry = {"id": "own", "kind": "mine.py:Mine", "instruments": ["ETH-USDT"]}
    text = yaml.safe_dump({"strategies": [{**entry, "params": {"size": 2}}]})
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def chosen(wanted: str, *params: str, files: tuple[Path, ...] = (DEFAULT,)) -> Any:
    return choosing.chosen(load(files, {}), wanted, params, ["BTC-USDT", "ETH-USDT"])


def test_without_a_name_what_is_configured_and_not_switched_off() -> None:
    assert [entry.id for entry in chosen("")] == ["ping-pong", "momentum"]


def test_configured_one_keeps_its_instruments_and_its_other_parameters() -> None:
    (entry,) = chosen("momentum", "window_s=2.5", "allow_short=true")
    assert entry.instruments == ("ETH-USDT",)
    assert entry.params["window_s"] == 2.5
    assert entry.params["allow_short"] is True
    assert entry.params["threshold_bps"] == 5


def test_file_of_ones_own_trades_what_it_is_given(folder: Path) -> None:
    (entry,) = chosen(f"{folder / 'mine.py'}:Mine", "size=0.25", "word=a: b".replace(": ", "="))
    assert (entry.id, entry.instruments) == ("Mine", ("BTC-USDT", "ETH-USDT"))
    assert entry.params == {"size": 0.25, "word": "a=b"}
    (seat, _) = seats(load([DEFAULT], {}), [entry])
    assert seat.strategy.params.size == Decimal("0.25")


def test_file_is_found_beside_the_configuration_and_is_the_configured_one(folder: Path) -> None:
    files = (DEFAULT, folder / "config.yaml")
    for name in ("own", "mine.py:Mine", f"{folder / 'mine.py'}:Mine"):
        (entry,) = chosen(name, "word=x", files=files)
        assert (entry.id, entry.params) == ("own", {"size": 2, "word": "x"})
        assert entry.kind == f"{(folder / 'mine.py').resolve()}:Mine"
    assert len(seats(load(files, {}), entries(load(files, {})))) == 1


@pytest.mark.parametrize(
    ("wanted", "params", "said"),
    [
        ("momentun", (), "did you mean 'momentum'"),
        ("own2", (), "did you mean 'own'"),
        ("mine.py:Min", (), "did you mean 'Mine'"),
        ("mine.py", (), "say which class of it: mine.py:Mine"),
        ("{folder}/mein.py:Mine", (), "did you mean '{folder}/mine.py'"),
        ("own", ("sise=3",), "--params: own.params.sise: unknown key; did you mean 'size'"),
        ("own", ("size=many",), "own.params.size"),
        ("own", ("size",), "--params 'size' is no parameter"),
        ("own", ("size=1", "size=2"), "size is given twice"),
        ("own", ("size=[",), "the value is not YAML"),
        ("", ("size=1",), "of which strategy"),
    ],
)
def test_mistake_is_named_with_what_is_nearest(
    folder: Path, wanted: str, params: tuple[str, ...], said: str
) -> None:
    files = (DEFAULT, folder / "config.yaml")
    with pytest.raises((ConfigError, CliError)) as error:
        chosen(wanted.format(folder=folder), *params, files=files)
    assert said.format(folder=folder) in str(error.value)


def test_up_runs_it_alone_with_what_was_given(folder: Path) -> None:
    parser = ArgumentParser()
    up.configure(parser)
    name = f"{folder / 'mine.py'}:Mine"
    given = ["--strategy", name, "--instrument", "SOL-USDT", "--params", "size=3", "word=x"]
    settings = up._narrowed(load([DEFAULT], {}), parser.parse_args(given))
    file = choosing.written(folder, settings)
    (entry,) = entries(load([DEFAULT, file], {}))
    assert (entry.id, entry.instruments) == ("Mine", ("SOL-USDT",))
    assert entry.params == {"size": 3, "word": "x"}
    assert Path(entry.kind.partition(":")[0]).is_absolute()


SEEN = """
import os
from pathlib import Path
Path(__file__).with_suffix(".seen").write_text(f"{os.getpid()} {dict(os.environ)}")
print("a file that talks")
"""
SECRETS = (
    "TICKBUS_VENUE_API_KEY", "TICKBUS_BINANCE_2_API_SECRET_FILE", "TICKBUS_NATS_PASSWORD",
    "TICKBUS_KILL_TOKEN", "TICKBUS_ALERTS_SLACK", "TICKBUS_ADMIN_PASSWORD", "TICKBUS_POSTGRES_DSN",
)  # fmt: skip


def test_a_file_runs_neither_in_the_launcher_nor_with_its_keys(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hush-hush")
    monkeypatch.delitem(sys.modules, "tickbus_user_mine", raising=False)
    (folder / "mine.py").write_text(SEEN + MINE, encoding="utf-8")
    parser = ArgumentParser()
    up.configure(parser)
    given = ["--strategy", f"{folder / 'mine.py'}:Mine", "--params", "size=3"]
    settings = load([DEFAULT], {"TICKBUS_VENUE_API_SECRET": "hush-hush", "MY_OWN": "kept"})
    up._narrowed(settings, parser.parse_args(given))
    seen = (folder / "mine.seen").read_text(encoding="utf-8")
    assert not seen.startswith(f"{os.getpid()} ")
    assert "hush-hush" not in seen
    assert "'MY_OWN': 'kept'" in seen
    assert "tickbus_user_mine" not in sys.modules


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MINE.replace("Mine(", "Other("), "defines no Mine; known strategies in it: Other"),
        ("import nothing_of_the_kind", "No module named 'nothing_of_the_kind'"),
        ("raise SystemExit(3)", "SystemExit(3)"),
        ("import os; os._exit(7)", "ended the process that loaded it, with code 7"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_as_if_it_ran_here(
    folder: Path, text: str, said: str
) -> None:
    (folder / "mine.py").write_text(text, encoding="utf-8")
    examine = examining.apart({})
    with pytest.raises(ConfigError) as error:
        choosing.chosen(load([DEFAULT], {}), f"{folder / 'mine.py'}:Mine", (), ["X"], examine)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"text": "class Mine("}, "was never closed"),
        ({"text": MINE.replace("Mine(", "Other(")}, "defines no Mine; known strategies in it"),
        ({"kind": "main.py:Mine"}, "there is no Python file main.py"),
        ({"params": {"sise": 3}}, "did you mean 'size'"),
    ],
)
def test_up_refuses_a_configured_file_before_anything_starts(
    folder: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any], said: str
) -> None:
    (folder / "mine.py").write_text(wrong.pop("text", MINE), encoding="utf-8")
    (fine,) = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["strategies"]
    entries = {"strategies": [fine, {**fine, "id": "off", "kind": "x.py:Y", "enabled": False}]}
    entries["strategies"][0] |= wrong
    (folder / "config.yaml").write_text(yaml.safe_dump(entries), encoding="utf-8")
    given = ["--config", str(folder / "config.yaml"), "--data-dir", str(folder / "data")]
    assert main(["up", *given]) != 0
    assert said in capsys.readouterr().err
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--strategy", "momentun"], "did you mean 'momentum'"),
        (["--strategy", "momentum", "--instrument", "BTC-USD"], "did you mean 'BTC-USDT'"),
        (["--instrument", "BTC-USDT"], "for which strategy"),
        (["--strategy", "momentum", "--params", "window=5"], "did you mean 'window_s'"),
    ],
)
def test_up_refuses_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["up", "--data-dir", str(tmp_path / "data"), *arguments]) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_settings_of_others_stay() -> None:
    settings = load([DEFAULT], {})
    alone = choosing.narrowed(settings, chosen("momentum"))
    assert isinstance(alone, Settings)
    assert {**alone.raw, "strategies": ()} == {**settings.raw, "strategies": ()}
    assert msgspec.to_builtins(alone.raw["strategies"])[0]["id"] == "momentum"
