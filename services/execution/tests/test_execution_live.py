"""Nothing trades real money in containers before somebody has said that it is meant."""

from pathlib import Path

import pytest

from tickbus.config import ConfigError, load
from tickbus_execution import live
from tickbus_execution.service import build

CONFIG = Path(__file__).parents[3] / "config"
LIVE = ":".join(
    str(CONFIG / name)
    for name in ("default.yaml", "venues/binance.yaml", "venues/binance-live.yaml")
)
AGREED = {
    "TICKBUS_CONFIG": LIVE, "TICKBUS_VENUE_API_KEY": "k", "TICKBUS_VENUE_API_SECRET": "very secret",
    "TICKBUS_LIVE_CONFIRM": "binance",
}  # fmt: skip


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> "Run":
    monkeypatch.chdir(tmp_path)
    return Run(monkeypatch, capsys)


class Run:
    """The check, with an environment of its own."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capture = patch, capture

    def __call__(self, **environment: str) -> tuple[int, str, str]:
        for name, value in (AGREED | environment).items():
            self._patch.setenv(name, value)
        code = live.main()
        said = self._capture.readouterr()
        return code, said.out, said.err


def test_what_is_agreed_to_is_said_and_lets_it_trade(run: Run) -> None:
    code, said, wrong = run()
    assert (code, wrong) == (0, "")
    assert "binance (https://api.binance.com)" in said
    assert "BTC-USDT" in said
    assert "drawdown_max" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TICKBUS_LIVE_CONFIRM": ""}, "set it to 'binance'"),
        ({"TICKBUS_LIVE_CONFIRM": "yes"}, "TICKBUS_LIVE_CONFIRM is 'yes'"),
        ({"TICKBUS_VENUE_API_KEY": ""}, "there is no key for binance"),
        ({"TICKBUS_VENUE_API_KEY": "sim-key"}, "there is no key for binance"),
        ({"TICKBUS_CONFIG": str(CONFIG / "default.yaml")}, "platform.mode is 'simulated'"),
        ({"TICKBUS_CONFIG": str(CONFIG / "none.yaml")}, "none.yaml"),
    ],
)
def test_what_is_missing_is_named_and_nothing_trades(
    run: Run, environment: dict[str, str], words: str
) -> None:
    code, _, wrong = run(**environment)
    assert code == 2
    assert words in wrong
    assert "very secret" not in wrong


def test_execution_itself_starts_for_real_money_only_where_it_is_meant() -> None:
    assert build(load(environment=AGREED)).name == "execution"
    for agreed in ("", "binance-usdm"):
        with pytest.raises(ConfigError, match="set it to 'binance'"):
            build(load(environment=AGREED | {"TICKBUS_LIVE_CONFIRM": agreed}))
    on_paper = AGREED | {"TICKBUS_CONFIG": LIVE.rpartition(":")[0], "TICKBUS_LIVE_CONFIRM": ""}
    build(load(environment=on_paper))
