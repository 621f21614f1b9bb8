"""Configuration: merged, substituted, and every mistake named with its remedy."""

from decimal import Decimal
from pathlib import Path

import pytest

from tickbus.config import Config, ConfigError, load


class Limits(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section for these tests."""

    order_notional_max: Decimal
    instruments: tuple[str, ...] = ()


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_later_file_wins_and_environment_fills_in(tmp_path: Path) -> None:
    base = write(tmp_path / "a.yaml", "risk: {order_notional_max: 10, instruments: [A]}\n")
    over = write(tmp_path / "b.yaml", "risk: {order_notional_max: '${MAX:-7}'}\n")
    assert load([base, over], {}).section("risk", Limits).order_notional_max == 7
    # As in a shell: Compose hands on what nobody has set as an empty value.
    assert load([base, over], {"MAX": ""}).section("risk", Limits).order_notional_max == 7
    section = load([base, over], {"MAX": "12.5"}).section("risk", Limits)
    assert section == Limits(order_notional_max=Decimal("12.5"), instruments=("A",))


def test_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "risk: {order_notional_maximum: 10}\n")
    with pytest.raises(
        ConfigError, match=r"risk\.order_notional_maximum: unknown key; did you mea"
    ):
        load([file], {}).section("risk", Limits)


def test_unknown_section_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "riks: {}\n")
    with pytest.raises(ConfigError, match=r"riks: unknown key; did you mean 'risk'\?"):
        load([file], {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"risk:\n  a: 1\n b: 2\n", r"a\.yaml, line 3: not YAML: expected <block end>"),
        (b"risk: \x00", r"a\.yaml: not YAML: unacceptable character #x0000: [^\n]+$"),
        (b"risk: \xe9", r"a\.yaml: not text in UTF-8"),
    ],
)
def test_what_is_no_yaml_is_told_in_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "a.yaml").write_bytes(text)
    with pytest.raises(ConfigError, match=said) as refused:
        load([tmp_path / "a.yaml"], {})
    assert "\n" not in str(refused.value)


def test_wrong_value_names_file_key_and_value(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "risk: {order_notional_max: plenty}\n")
    with pytest.raises(ConfigError, match=r"a\.yaml: risk\.order_notional_max = 'plenty'"):
        load([file], {}).section("risk", Limits)


def test_of_several_files_the_one_with_the_mistake_is_named(tmp_path: Path) -> None:
    base = write(
        tmp_path / "base.yaml", "risk: {order_notional_max: 10}\nledger: {currency: USDT}\n"
    )
    mine = write(tmp_path / "mine.yaml", "risk: {order_notional_maks: 5}\n")
    over = write(tmp_path / "over.yaml", "risk: {instruments: [A]}\n")
    with pytest.raises(ConfigError, match=r"^\S+/mine\.yaml: risk\.order_notional_maks: unknown"):
        load([base, mine, over], {}).section("risk", Limits)
    wrong = write(tmp_path / "wrong.yaml", "risk: {order_notional_max: plenty}\n")
    with pytest.raises(ConfigError, match=r"^\S+/wrong\.yaml: risk\.order_notional_max = 'plenty'"):
        load([base, wrong, over], {}).section("risk", Limits)
    section = write(tmp_path / "section.yaml", "riks: {}\n")
    with pytest.raises(ConfigError, match=r"^\S+/section\.yaml: riks: unknown key"):
        load([base, section, over], {})


def test_what_no_file_says_is_missed_in_all_of_them(tmp_path: Path) -> None:
    base = write(tmp_path / "base.yaml", "risk: {instruments: [A]}\n")
    over = write(tmp_path / "over.yaml", "risk: {instruments: [B]}\n")
    with pytest.raises(ConfigError, match=r"base\.yaml:\S+over\.yaml: risk: .*order_notional_max"):
        load([base, over], {}).section("risk", Limits)


def test_missing_value_names_the_key(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "risk: {}\n")
    with pytest.raises(ConfigError, match="order_notional_max"):
        load([file], {}).section("risk", Limits)


def test_unset_variable_without_default_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "risk: {order_notional_max: '${NOT_SET}'}\n")
    with pytest.raises(ConfigError, match="NOT_SET"):
        load([file], {})


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        load([tmp_path / "none.yaml"], {})


@pytest.mark.parametrize("text", ["- a\n- b\n", "risk: [", "just words"])
def test_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load([write(tmp_path / "a.yaml", text)], {})


def test_secret_comes_from_environment_or_file(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "{}\n")
    key = write(tmp_path / "key", "hidden\n")
    assert load([file], {"TICKBUS_VENUE_API_KEY": "k"}).secret("venue_api_key") == "k"
    assert (
        load([file], {"TICKBUS_VENUE_API_KEY_FILE": str(key)}).secret("venue_api_key") == "hidden"
    )
    assert load([file], {}).secret("venue_api_key") == ""


def test_default_configuration_is_valid() -> None:
    root = Path(__file__).parents[3]
    settings = load([root / "config" / "default.yaml"], {})
    assert settings.venue.instruments[0] == "BTC-USDT"
    assert settings.platform.mode == "simulated"


VENUE = (
    "{name: %s, adapter: binance, rest_url: x, ws_url: x, ws_api_url: x,"
    " instruments: [BTC-USDT], fees: {maker: 0, taker: 0}}"
)


def test_a_process_is_for_the_main_venue_or_for_the_one_that_is_named(tmp_path: Path) -> None:
    text = f"venue: {VENUE % 'one'}\nvenues: [{VENUE % 'two'}]\n"
    file = write(tmp_path / "a.yaml", text)
    assert load([file], {}).venue.name == "one"
    assert load([file], {"TICKBUS_VENUE": "two"}).venue.name == "two"
    assert [venue.name for venue in load([file], {"TICKBUS_VENUE": "two"}).venues] == ["one", "two"]
    with pytest.raises(ConfigError, match=r"TICKBUS_VENUE='tow': .* did you mean 'two'"):
        _ = load([file], {"TICKBUS_VENUE": "tow"}).venue


@pytest.mark.parametrize(("name", "why"), [("one", "given twice"), ("smart", "the router's")])
def test_names_of_venues_are_unique_and_one_is_taken(tmp_path: Path, name: str, why: str) -> None:
    text = f"venue: {VENUE % 'one'}\nvenues: [{VENUE % name}]\n"
    with pytest.raises(ConfigError, match=why):
        _ = load([write(tmp_path / "a.yaml", text)], {}).venues
