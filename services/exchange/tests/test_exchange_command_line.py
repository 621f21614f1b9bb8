"""The command line: what it refuses and what it reads from the environment."""

from pathlib import Path

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
        (["--accounts", "/nowhere.json"], "cannot read /nowhere.json"),
        (["--funding-interval-s", "0"], "--funding-interval-s 0 is outside 1 to 86400"),
        (["--futures-wallet", "much"], "not a plain decimal number"),
        (["--socket-life", "0"], "--socket-life 0.0 is not above 0"),
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


def test_fees_in_bnb_list_the_pair_they_are_valued_by() -> None:
    config = parse_arguments(["--fees-in-bnb", "--symbols", "BTCUSDT"])
    assert [listing.rules.symbol for listing in config.listings] == ["BTCUSDT", "BNBUSDT"]
    assert config.fee_asset == "BNB"
    assert parse_arguments(["--symbols", "BNBUSDT"]).fee_asset == ""


def test_further_accounts_come_from_a_file_that_the_environment_may_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "accounts.json"
    path.write_text('{"accounts":[{"name":"desk","balances":{"USDT":"5"}}]}')
    monkeypatch.setenv("TICKBUS_EXCHANGE_ACCOUNTS", str(path))
    (desk,) = parse_arguments([]).accounts
    assert (desk.name, desk.units()) == ("desk", {"USDT": 500_000_000})


def test_futures_have_options_of_their_own() -> None:
    arguments = ["--futures-wallet", "5", "--funding-interval-s", "60", "--funding-rate=-0.0003"]
    futures = parse_arguments(arguments).futures
    assert (futures.wallet, futures.funding_interval_ms) == (500_000_000, 60_000)
    assert (futures.funding_rate, futures.taker_fee) == (-30_000, 50_000)
