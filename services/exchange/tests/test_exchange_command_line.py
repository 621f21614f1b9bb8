"""The command line: what it refuses and what it reads from the environment."""

import pytest

from tickbus_exchange.__main__ import parse_arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--symbols", "DOGEUSDT"], "'DOGEUSDT' is not listed"),
        (["--intensity", "-1"], "--intensity -1.0 is outside"),
        (["--port", "70000"], "--port 70000 is outside"),
        (["--balances", "BTC:1"], "'BTC:1' is not ASSET=AMOUNT"),
        (["--more-symbols", "5000"], "--more-symbols 5000 is outside 0 to 1000"),
        (["--maker-fee", "free"], "not a plain decimal number"),
    ],
)
def test_bad_arguments_are_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKBUS_EXCHANGE_API_KEY", "k")
    monkeypatch.setenv("TICKBUS_EXCHANGE_API_SECRET", "s")
    config = parse_arguments(["--symbols", "ethusdt", "--balances", "USDT=5"])
    assert (config.api_key, config.api_secret) == ("k", "s")
    assert [listing.rules.symbol for listing in config.listings] == ["ETHUSDT"]


def test_further_symbols_are_listed_behind_the_usual_ones() -> None:
    config = parse_arguments(["--symbols", "BTCUSDT", "--more-symbols", "2"])
    listed = [listing.rules.symbol for listing in config.listings]
    assert listed == ["BTCUSDT", "X001USDT", "X002USDT"]
