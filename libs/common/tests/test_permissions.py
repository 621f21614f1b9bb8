"""The table of who may say what: complete for what services do, and what is committed is of it."""

import json
import re
from pathlib import Path

import pytest

from tickbus import credentials, permissions, subjects
from tickbus.bus import door
from tickbus.bus.consumers import Wish
from tickbus.config import ConfigError, Settings
from tickbus.permissions import StrategyUser, covers

ROOT = Path(__file__).parents[3]
ALPHA = StrategyUser("strategy-alpha", ("alpha",))


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("config/nats/nats.conf", ""),
        ("k8s/components/nats/nats.conf", ""),
        ("k8s/components/strategy-momentum/nats.conf", "strategy-momentum=momentum"),
    ],
)
def test_the_committed_configuration_is_what_is_generated(file: str, own: str) -> None:
    users = [StrategyUser(), *([credentials.strategy_user(own)] if own else [])]
    option = f" --strategy {own}" if own else ""
    assert (ROOT / file).read_text(encoding="utf-8") == credentials.render(users), (
        f"run: python -m tickbus.credentials config{option} > {file}"
    )


def test_only_risk_approves_and_only_execution_reports() -> None:
    for service in permissions.TABLE:
        patterns = permissions.allowed(service)["publish"]["allow"]
        for subject, owner in (
            (subjects.approved("sim"), "risk"),
            (subjects.denied("alpha"), "risk"),
            (subjects.order_events("sim", "alpha"), "execution"),
            (subjects.order_events("smart", "alpha"), "execution router"),
            (subjects.approved("smart"), "risk"),
            ("orders.account.sim", "execution"),
            ("md.trade.sim.BTC-USDT", "feed"),
            ("book.top.sim.BTC-USDT", "book"),
            ("$KV.instruments.sim.BTC-USDT", "feed"),
        ):
            may = any(covers(pattern, subject) for pattern in patterns)
            assert may == (service in owner.split()), (service, subject)


def test_no_service_may_change_empty_or_delete_a_stream() -> None:
    for service in permissions.TABLE:
        patterns = permissions.allowed(service)["publish"]["allow"]
        for verb in ("UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE"):
            for stream in ("ORDERS", "KV_control"):
                subject = f"$JS.API.STREAM.{verb}.{stream}"
                assert not any(covers(p, subject) for p in patterns), (service, subject)


def test_a_strategy_has_no_part_of_jetstream_and_speaks_for_itself_alone() -> None:
    made = permissions.accounts(dict.fromkeys(permissions.users([ALPHA]), "x"), [ALPHA])
    account = made["strategy-alpha"]
    assert "jetstream" not in account
    ways = [i["service"]["subject"] for i in account["imports"] if "service" in i]
    assert not [way for way in ways if way.startswith("$JS.API")]
    assert [w for w in ways if w.startswith("orders.")] == [
        "orders.intent.alpha",
        "orders.strategy.alpha",
    ]
    assert [w for w in ways if w.startswith("$JS.ACK")] == [
        f"$JS.ACK.ORDERS.{durable}-{slot}.>"
        for durable in ("strategy_alpha", "strategy-alpha_history")
        for slot in range(permissions.SLOTS)
    ]


@pytest.mark.parametrize("name", ["risk", "strategies", "strategy.x", "strategy x"])
def test_a_strategy_user_has_a_name_that_shows_what_it_is(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        StrategyUser(name)


def test_nobody_but_the_gateway_orders_by_hand() -> None:
    with pytest.raises(ValueError, match="manual"):
        StrategyUser("strategy-x", ("manual",))
    made = permissions.accounts(
        dict.fromkeys(permissions.users([StrategyUser()]), "x"), [StrategyUser()]
    )
    rights = made["strategy"]["users"][0]["permissions"]["publish"]
    assert rights["deny"] == [f"orders.intent.{name}" for name in ("manual", "risk", "external")]


@pytest.mark.parametrize(
    ("allowed", "wanted", "whole"),
    [
        ("orders.intent.*", "orders.intent.*", True),
        ("orders.intent.*", "orders.intent.a", True),
        ("orders.intent.a", "orders.intent.*", False),
        ("orders.intent.*", "orders.intent.>", False),
        ("orders.intent.*", "orders.*.a", False),
        ("orders.event.*.a", "orders.event.sim.a", True),
        ("orders.event.*.a", "orders.event.>", False),
        ("orders.event.*.a", "orders.event.sim.a.b", False),
        ("md.>", "md.>", True),
        ("md.>", "md", False),
        ("md.>", ">", False),
    ],
)
def test_a_pattern_covers_what_all_its_subjects_are_covered(
    allowed: str, wanted: str, whole: bool
) -> None:
    assert covers(allowed, wanted) is whole


# -- the doorkeeper --------------------------------------------------------------------------------

OWN = ("orders.denied.alpha", "orders.event.*.alpha")
INBOX = "deliver.strategy-alpha.x1"


def test_the_subject_of_a_request_says_whose_it_is() -> None:
    assert door.rights(ALPHA.desk) == ALPHA
    assert door.rights(StrategyUser().desk) == StrategyUser()
    assert door.rights(StrategyUser("strategy", ()).desk).ids == ()
    for wrong in (
        "control.reader.risk.all",
        "control.reader.strategy",
        "control.reader.strategy.x",
    ):
        with pytest.raises(ValueError, match="strategy"):
            door.rights(wrong)


def test_a_reader_of_what_is_its_own_is_made() -> None:
    door.check(ALPHA, Wish("ORDERS", OWN, INBOX, 1, "strategy_alpha", "m"))
    door.check(ALPHA, Wish("ORDERS", OWN, INBOX, 1, window=10))
    door.check(ALPHA, Wish("KV_instruments", ("$KV.instruments.>",), INBOX, 0))


@pytest.mark.parametrize(
    "wish",
    [
        Wish("ORDERS", OWN, "orders.approved.sim", 1),
        Wish("ORDERS", OWN, "deliver.strategy-beta.x1", 1),
        Wish("ORDERS", OWN, "deliver.strategy-alpha.>", 1),
        Wish("ORDERS", OWN, "deliver.strategy-alpha.a.b", 1),
        Wish("ORDERS", ("orders.>",), INBOX, 1),
        Wish("ORDERS", ("orders.event.*.beta",), INBOX, 1),
        Wish("ORDERS", (*OWN, "orders.approved.*"), INBOX, 1),
        Wish("ORDERS", (), INBOX, 1),
        Wish("ORDERS", OWN, INBOX, -1),
        Wish("ORDERS", OWN, INBOX, 1, "execution", "m"),
        Wish("KV_control", ("$KV.control.>",), INBOX, 0),
        Wish("KV_instruments", ("$KV.instruments.>",), INBOX, 0, "strategy_alpha", "m"),
        Wish("ORDERS", OWN, INBOX, 1, "strategy", "m"),
        Wish("ORDERS", OWN, INBOX, 1, "strategy-alpha_history", "m"),
        Wish("KV_snapshots", ("$KV.snapshots.risk.>",), INBOX, 0),
        Wish("KV_deadletters", ("$KV.deadletters.*.>",), INBOX, 0),
        Wish("QUARANTINE", ("quarantine.>",), INBOX, 1),
    ],
    ids=str,
)
def test_a_reader_of_or_for_others_is_refused(wish: Wish) -> None:
    with pytest.raises(door.Refused):
        door.check(ALPHA, wish)


def test_of_a_bucket_of_all_a_strategy_sees_its_own_keys() -> None:
    wish = door.narrowed(ALPHA, Wish("KV_deadletters", ("$KV.deadletters.>",), INBOX, 0))
    assert wish.subjects == ("$KV.deadletters.strategy_alpha.>",)
    door.check(ALPHA, wish)


# -- passwords -------------------------------------------------------------------------------------


def test_passwords_are_kept_and_for_their_owner_alone(tmp_path: Path) -> None:
    first = credentials.kept(tmp_path / "c", ("operator", "approval"))
    assert credentials.kept(tmp_path / "c", ("operator", "approval")) == first
    assert len(set(first.values())) == 2
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "c" / "operator").stat().st_mode & 0o777 == 0o600


def test_each_user_gets_a_directory_and_the_server_all_of_it(tmp_path: Path) -> None:
    assert credentials.main(["write", str(tmp_path), "--strategy", "strategy-alpha=alpha"]) == 0
    conf = json.loads((tmp_path / "nats" / "nats.conf").read_text())
    listed = {
        user["user"]: user["password"]
        for account in conf["accounts"].values()
        for user in account["users"]
    }
    for user in ("risk", "feed", "strategy", "strategy-alpha", "operator"):
        assert (tmp_path / user / "password").read_text().strip() == listed[user]
    assert (tmp_path / "risk" / "approval").read_text() == (
        tmp_path / "execution" / "approval"
    ).read_text()
    assert not (tmp_path / "strategy" / "approval").exists()
    before = listed["risk"]
    assert credentials.main(["write", str(tmp_path)]) == 0, "again, and nothing changes"
    assert (tmp_path / "risk" / "password").read_text().strip() == before


@pytest.mark.parametrize("text", ["alpha", "strategy-a=", "risk=a", "strategy-a=manual"])
def test_a_wrong_strategy_user_is_explained(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert credentials.main(["write", str(tmp_path), "--strategy", text]) == 2
    assert capsys.readouterr().err


def test_half_a_login_is_refused() -> None:
    assert Settings({}, {}).bus_login is None
    with pytest.raises(ConfigError, match="TICKBUS_NATS_PASSWORD_FILE"):
        _ = Settings({}, {"TICKBUS_NATS_USER": "feed"}).bus_login
    with pytest.raises(ConfigError, match="TICKBUS_NATS_USER is not"):
        _ = Settings({}, {"TICKBUS_NATS_PASSWORD": "x"}).bus_login
    login = Settings({}, {"TICKBUS_NATS_USER": "feed", "TICKBUS_NATS_PASSWORD": "x"}).bus_login
    assert login is not None
    assert "x" not in repr(login)
