"""What is told of what happens: gathered, cooled down, cleared, never twice."""

from decimal import Decimal

import msgspec
import pytest
from alerts_world import (
    T0,
    S,
    World,
    a_denial,
    a_feed,
    a_fill,
    a_state,
    canceled,
    unknown,
)  # fmt: skip

from tickbus.alerts_api import Severity
from tickbus.events import (
    BalanceReport,
    DenialReason,
    DifferenceFound,
    DifferenceKind,
    FeedState,
    FlattenEnded,
    HeartbeatChanged,
    LimitReport,
    OrderRejected,
    PortfolioUpdated,
    ReconciliationCause,
    RiskReport,
    ScopeReport,
    StrategyChanged,
    StrategyOutcome,
    TradingState,
    UserActed,
)
from tickbus_alerts.core import INCIDENTS_MAX, OTHERS, SUBJECTS_MAX, AlertsCore
from tickbus_alerts.events import (
    AlertCleared,
    AlertRaised,
    ChannelTried,
    LetterSeen,
    ServicesExpected,
    ServicesSeen,
    ServiceWord,
    Stage,
)
from tickbus_alerts.kinds import KINDS, default_rules, rule_of
from tickbus_alerts.rules import Rule

D = Decimal
MS = 1_000_000
DENIED = "denied momentum: NOTIONAL_ABOVE_MAX"


def with_rule(rule: Rule) -> World:
    return World(AlertsCore([rule]))


def test_a_hundred_denials_in_a_second_are_one_alert_with_a_count() -> None:
    world = World()
    for n in range(100):
        world.at(T0 + n * 10 * MS, a_denial(T0 + n * 10 * MS, n))
    world.at(T0 + 2 * S)
    assert world.raised == [(DENIED, 100)]


def test_more_of_the_same_is_told_once_when_the_cool_down_ends_and_then_quietly_over() -> None:
    world = World()
    world.at(T0, a_denial(T0, 1))
    for n in range(7):
        ts = T0 + (10 + n) * S
        world.at(ts, a_denial(ts, 2 + n))
    world.at(T0 + 300 * S)
    assert world.raised == [(DENIED, 1)]
    world.at(T0 + 302 * S)
    assert world.raised == [(DENIED, 1), (DENIED, 8)]
    world.at(T0 + 700 * S)
    (over,) = world.of(AlertCleared)
    assert not over.tell
    assert over.incident.because == "no more of it for 300 s"
    assert world.core.incidents == {}


def test_different_reasons_and_strategies_are_different_alerts() -> None:
    world = World()
    world.at(
        T0, a_denial(T0, 1), a_denial(T0, 2, "other"),
        a_denial(T0, 3, reason=DenialReason.TRADING_HALTED),
    )  # fmt: skip
    world.at(T0 + 2 * S)
    assert len(world.raised) == 3


def test_a_halt_is_told_at_once_and_its_end_too_by_whom_and_why() -> None:
    world = World()
    world.at(T0, a_state(T0, TradingState.HALTED, reason="kill switch"))
    assert world.raised == [("trading is HALTED: everything", 1)]
    world.at(T0 + 60 * S, a_state(T0 + 60 * S, TradingState.ACTIVE, actor="bob", reason="fixed"))
    (over,) = world.of(AlertCleared)
    assert over.tell
    assert over.incident.because == "MANUAL by bob: fixed"
    assert world.core.incidents == {}


def test_a_restriction_that_becomes_a_halt_is_told_again() -> None:
    world = World()
    world.at(T0, a_state(T0, TradingState.REDUCING))
    world.at(T0 + S, a_state(T0 + S, TradingState.HALTED))
    assert [title for title, _ in world.raised] == [
        "trading is REDUCING: everything", "trading is HALTED: everything",
    ]  # fmt: skip


def test_what_is_over_before_it_lasted_long_enough_is_never_told() -> None:
    world = World()
    world.at(T0, unknown(T0))
    world.at(T0 + 9 * S, canceled(T0 + 9 * S))
    world.at(T0 + 100 * S)
    assert world.raised == []
    assert world.cleared == []
    assert world.core.incidents == {}


def test_unknown_orders_of_a_venue_are_one_alert_that_ends_with_the_last_of_them() -> None:
    world = World()
    world.at(T0, unknown(T0, 1), unknown(T0, 2), unknown(T0, 3))
    world.at(T0 + 11 * S)
    assert world.raised == [("sim does not say what became of an order", 3)]
    world.at(T0 + 20 * S, canceled(T0 + 20 * S, 1), canceled(T0 + 20 * S, 3))
    assert world.cleared == []
    world.at(T0 + 21 * S, canceled(T0 + 21 * S, 2))
    assert world.cleared == ["sim does not say what became of an order"]


def test_what_comes_and_goes_is_told_once_in_a_cool_down() -> None:
    world = World()
    for n in range(10):
        ts = T0 + 20 * n * S
        world.at(ts, a_feed(ts, FeedState.STALE))
        world.at(ts + 16 * S, a_feed(ts + 16 * S, FeedState.LIVE))
    assert world.raised == [("market data of sim is not live", 1)]
    assert len(world.cleared) == 1
    world.at(T0 + 1000 * S)
    assert len(world.raised) == 1
    assert world.core.incidents == {}


def test_what_came_back_in_the_cool_down_and_stays_is_told_when_that_ends() -> None:
    world = World()
    world.at(T0, a_feed(T0, FeedState.STALE))
    world.at(T0 + 16 * S, a_feed(T0 + 16 * S, FeedState.LIVE))
    for second in range(20, 320):
        world.at(T0 + second * S, a_feed(T0 + second * S, FeedState.DISCONNECTED))
    assert len(world.raised) == 2
    assert world.now == T0 + 319 * S
    (incident,) = world.core.incidents.values()
    assert incident.stage is Stage.ACTIVE
    assert incident.ts_cleared == 0


def test_a_market_that_the_feed_speaks_of_no_more_does_not_keep_an_alert_up() -> None:
    world = World()
    world.at(T0, a_feed(T0, FeedState.STALE, "OLD-USDT"), a_feed(T0, FeedState.LIVE))
    world.at(T0 + 20 * S)
    assert world.raised != []
    world.at(T0 + 62 * S, a_feed(T0 + 62 * S, FeedState.LIVE))
    assert world.cleared == ["market data of sim is not live"]


def test_fills_are_off_unless_asked_for_and_then_from_a_size_on() -> None:
    world = World()
    world.at(T0, a_fill(T0))
    world.at(T0 + 2 * S)
    assert world.raised == []
    rule = msgspec.structs.replace(rule_of("fill", "fill"), enabled=True, notional_min=D(50))
    world = with_rule(rule)
    world.at(T0, a_fill(T0, 1, "100"), a_fill(T0, 2, "99.99"), a_fill(T0, 3, venue="smart"))
    world.at(T0 + 2 * S)
    assert world.raised == [("fill of momentum", 1)]


def test_filters_let_through_what_matches_a_pattern() -> None:
    rule = msgspec.structs.replace(
        rule_of("denial", "denial"), strategies=("mom*",), reasons=("*_ABOVE_MAX",)
    )
    world = with_rule(rule)
    world.at(
        T0, a_denial(T0, 1), a_denial(T0, 2, "other"),
        a_denial(T0, 3, reason=DenialReason.TRADING_HALTED),
    )  # fmt: skip
    world.at(T0 + 2 * S)
    assert world.raised == [(DENIED, 1)]


def a_report(ts: int, drawdown: str, daily_loss: str = "0") -> RiskReport:
    scope = ScopeReport(
        "global", TradingState.ACTIVE, "", D(0), D(0), D(0), D(daily_loss), D(drawdown)
    )
    limits = (
        LimitReport("global", "drawdown_max", D(1000), D(1000)),
        LimitReport("global", "daily_loss_max", D(500), D(500)),
        LimitReport("strategy:x", "drawdown_max", D(1), D(1)),
    )
    return RiskReport(ts, ts, "USDT", (scope,), limits)


def test_drawdown_is_told_from_a_share_of_its_limit_on_and_over_well_below_it() -> None:
    world = World()
    for n, drawdown in enumerate(("799", "800", "790", "810", "725", "719")):
        world.at(T0 + n * S, a_report(T0 + n * S, drawdown))
    (raised,) = world.raised
    assert raised[0] == "drawdown of global is near its limit"
    assert world.cleared == [raised[0]]
    assert world.of(AlertCleared)[0].ts_recv == T0 + 5 * S


def test_the_daily_loss_has_a_limit_of_its_own() -> None:
    world = World()
    world.at(T0, a_report(T0, "0", "400"))
    assert world.raised == [("daily loss of global is near its limit", 1)]


def a_portfolio(ts: int, difference: str | None) -> PortfolioUpdated:
    gap = None if difference is None else D(difference)
    balances = (
        BalanceReport(
            venue="sim", asset="USDT", opening=D(0), amount=D(1), reported=D(2), difference=gap
        ),
        BalanceReport(
            venue="two", asset="USDT", opening=D(0), amount=D(1), reported=D(1), difference=D(0)
        ),
    )
    zero = D(0)
    return PortfolioUpdated(
        ts, ts, 1, "USDT", (), balances, zero, zero, zero, zero, zero, zero, zero, zero, 0, 0, 0
    )


def test_a_balance_that_nothing_explains_is_told_until_it_is_explained() -> None:
    world = World()
    for n in range(32):
        world.at(T0 + n * S, a_portfolio(T0 + n * S, "1"))
    assert world.raised == [("sim reports what the books do not explain", 1)]
    world.at(T0 + 40 * S, a_portfolio(T0 + 40 * S, None))
    assert len(world.cleared) == 1


def seen(ts: int, *names: str, waiting: str = "") -> ServicesSeen:
    words = [ServiceWord(name, name != waiting, "waits for NATS") for name in names]
    return ServicesSeen(ts, ts, tuple(words))


def test_a_service_that_was_there_and_is_gone_is_missed() -> None:
    world = World()
    for n in range(20):
        names = ("feed", "risk") if n < 2 else ("risk",)
        world.at(T0 + 5 * n * S, seen(T0 + 5 * n * S, *names))
    assert world.raised == [("feed does not work", 1)]
    assert [e.services for e in world.of(ServicesExpected)] == [("feed", "risk")]
    world.at(T0 + 200 * S, seen(T0 + 200 * S, "feed", "risk"))
    assert world.cleared == ["feed does not work"]


def test_a_service_that_was_known_to_an_earlier_process_is_missed_too() -> None:
    core = AlertsCore(default_rules())
    core.restore([], ["feed"], T0 - 100 * S)
    world = World(core)
    for n in range(6):
        world.at(T0 + 5 * n * S, seen(T0 + 5 * n * S, "risk"))
    assert world.raised == [("feed does not work", 1)]


def test_a_service_that_is_not_ready_is_told_and_one_gone_for_a_day_is_let_go() -> None:
    world = World(AlertsCore(default_rules(), forget_s=100))
    for n in range(6):
        world.at(T0 + 5 * n * S, seen(T0 + 5 * n * S, "feed", "risk", waiting="feed"))
    assert world.raised == [("feed does not work", 1)]
    world.at(T0 + 130 * S, seen(T0 + 130 * S, "risk"))
    (over,) = world.of(AlertCleared)
    assert over.incident.because == "feed is not missed any more"
    assert world.of(ServicesExpected)[-1].services == ("risk",)


def test_every_other_kind_is_seen_and_over() -> None:
    head = ("momentum-r-1", "momentum", "sim", "BTC-USDT")
    begin = {
        "rejection": OrderRejected(T0, T0, *head, "-2010", "no money"),
        "difference": DifferenceFound(
            T0, T0, *head, DifferenceKind.MISSED_FILL, ReconciliationCause.PERIODIC, "fill=1"
        ),
        "flatten": FlattenEnded(T0, T0, "global", 1, (("sim", "BTC-USDT", D(1)),)),
        "silence": HeartbeatChanged(T0, T0, "strategy:momentum", "momentum", True, 11_000, 10_000),
        "strategy": StrategyChanged(
            T0, T0, "momentum", 1, StrategyOutcome.FAILED, None, None, "", "", problem="KeyError"
        ),
        "dead_letter": LetterSeen(T0, T0, "risk", "risk.7", "orders.intent.x", "KeyError", True),
        "channel": ChannelTried(T0, T0, "phone", "the server answered 401"),
    }
    for name, event in begin.items():
        world = with_rule(rule_of(name, name))
        world.at(T0, event)
        world.at(T0 + 2 * S)
        assert len(world.raised) == 1, name
    later = T0 + 10 * S
    end = {
        "silence": HeartbeatChanged(
            later, later, "strategy:momentum", "momentum", False, 0, 10_000
        ),
        "strategy": StrategyChanged(
            later, later, "momentum", 2, StrategyOutcome.APPLIED, None, None, "", ""
        ),
        "dead_letter": LetterSeen(later, later, "risk", "risk.7", "orders.intent.x", "", False),
        "channel": ChannelTried(later, later, "phone", ""),
    }
    for name, event in end.items():
        world = with_rule(rule_of(name, name))
        world.at(T0, begin[name])
        world.at(later, event)
        assert len(world.cleared) == 1, name


def refused(ts: int, n: int, address: str = "10.0.0.9") -> UserActed:
    return UserActed(
        ts, ts, f"r{n}", "", "", "", address, "POST /api/v1/auth/login", "/api/v1/auth/login", 401,
        "LOGIN_REFUSED",
    )  # fmt: skip


def test_one_wrong_password_is_no_news_but_five_in_a_minute_are() -> None:
    world = World()
    world.at(T0, refused(T0, 1))
    world.at(T0 + 61 * S)
    assert world.raised == []
    for n in range(5):
        world.at(T0 + (100 + n) * S, refused(T0 + (100 + n) * S, n))
    world.at(T0 + 200 * S)
    assert world.raised == [("access from 10.0.0.9 was refused", 5)]
    done = msgspec.structs.replace(refused(T0 + 999 * S, 9), status=200, code="")
    world.at(T0 + 999 * S, done)
    assert len(world.raised) == 1


def test_a_key_used_from_where_it_may_not_be_is_access_that_was_refused() -> None:
    world = World()
    for n in range(5):
        act = msgspec.structs.replace(
            refused(T0 + n, n), user="bot", via="key", key_id="4fj2k8", action="GET /api/v1/orders",
            status=403, code="ADDRESS_REFUSED",
        )  # fmt: skip
        world.at(T0 + n, act)
        # That somebody may not do something is no attempt to get in.
        world.at(T0 + n, msgspec.structs.replace(act, act_id=f"x{n}", code="FORBIDDEN"))
    world.at(T0 + 100 * S)
    assert world.raised == [("access from 10.0.0.9 was refused", 5)]
    (raised,) = world.of(AlertRaised)
    assert "GET /api/v1/orders as bot with the key 4fj2k8" in raised.incident.detail


def test_one_user_tried_from_many_addresses_is_one_alert() -> None:
    world = World()
    for n in range(40):
        act = msgspec.structs.replace(refused(T0 + n, n, f"10.0.0.{n}"), user="ada")
        world.at(T0 + n, act)
    world.at(T0 + 100 * S)
    assert world.raised == [("access as ada was refused", 40)]


def test_a_password_given_past_the_gateway_is_told_at_once() -> None:
    world = World()
    act = msgspec.structs.replace(
        refused(T0, 1, "host-1"), user="root", via="bus", action="RECOVER /api/v1/users/{user}",
        target="/api/v1/users/ada", status=200, code="",
    )  # fmt: skip
    world.at(T0, act)
    assert world.raised == [("a new password was given past the gateway: ada", 1)]
    (raised,) = world.of(AlertRaised)
    assert raised.incident.detail == "by root on host-1"


def test_a_closed_position_is_no_news() -> None:
    world = World()
    world.at(T0, FlattenEnded(T0, T0, "global", 1, ()))
    assert world.said == []


def test_more_subjects_than_a_rule_may_have_share_one_alert() -> None:
    world = World()
    for n in range(SUBJECTS_MAX + 30):
        world.at(T0, a_denial(T0, n, f"s{n}"))
    world.at(T0 + 2 * S)
    assert len(world.core.incidents) == SUBJECTS_MAX + 1
    assert world.core.incidents["denial", OTHERS].count == 30
    assert sum(count for _, count in world.raised) == SUBJECTS_MAX + 30


def test_states_that_share_an_alert_end_one_by_one() -> None:
    world = World()
    for n in range(SUBJECTS_MAX + 2):
        world.at(T0, a_state(T0, TradingState.HALTED, f"strategy:s{n}"))
    others = world.core.incidents["halt", OTHERS]
    assert list(others.members) == [f"strategy:s{SUBJECTS_MAX}", f"strategy:s{SUBJECTS_MAX + 1}"]
    world.at(T0 + S, a_state(T0 + S, TradingState.ACTIVE, f"strategy:s{SUBJECTS_MAX}"))
    assert world.cleared == []
    world.at(T0 + S, a_state(T0 + S, TradingState.ACTIVE, f"strategy:s{SUBJECTS_MAX + 1}"))
    assert len(world.cleared) == 1


def test_there_is_a_bound_over_all_rules() -> None:
    rules = [rule_of(f"denial-{n}", "denial") for n in range(20)]
    world = World(AlertsCore(rules))
    for n in range(60):
        world.at(T0, a_denial(T0, n, f"s{n}"))
    assert len(world.core.incidents) <= INCIDENTS_MAX + len(rules)


def test_what_happened_before_the_service_was_ever_here_is_not_told_but_what_lasts_is() -> None:
    core = AlertsCore(default_rules())
    core.restore([], [], T0)
    world = World(core)
    old = T0 - 86_400 * S
    world.at(
        T0, a_denial(old), a_state(old, TradingState.HALTED), a_state(old + S, TradingState.ACTIVE),
        a_state(old + 2 * S, TradingState.HALTED, "strategy:momentum"),
    )  # fmt: skip
    assert world.raised == []
    world.at(T0 + 31 * S)
    assert world.raised == [("trading is HALTED: momentum", 1)]


def test_each_rule_names_what_to_do() -> None:
    for kind in KINDS.values():
        assert kind.remedy
        assert kind.says
        assert kind.cooldown_s >= 1 or kind.lasts
    assert KINDS["halt"].severity is Severity.CRITICAL


@pytest.mark.parametrize("name", ["denial", "feed"])
def test_a_rule_that_is_off_sees_nothing(name: str) -> None:
    world = with_rule(msgspec.structs.replace(rule_of(name, name), enabled=False))
    world.at(T0, a_denial(T0), a_feed(T0, FeedState.STALE))
    world.at(T0 + 100 * S)
    assert world.said == []
