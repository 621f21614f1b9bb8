"""From an event on the bus to a message that somebody reads, over real HTTP and real SMTP."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alerts_world import a_denial, a_state
from receivers import MailServer, Webhook, listening

from tickbus import alerts_api, codec, subjects
from tickbus.alerts_api import Alert, AlertsAnswer, AlertsQuery, Severity, TrialAnswer, TrialQuery
from tickbus.bus import MemoryBus
from tickbus.clock import Clock, VirtualClock
from tickbus.config import ConfigError, Settings
from tickbus.events import Event, TradingState
from tickbus.events.orders import message_id
from tickbus.runtime import Shell
from tickbus.runtime import shell as shells
from tickbus_alerts import courier
from tickbus_alerts.channels import Channel
from tickbus_alerts.service import build

SECRET = "s3cr3t-t0k3n"
CHANNEL_AWAY = "alerts do not get through: channel away"
QUICK = {"denial": {"wait_s": 0, "cooldown_s": 1}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "FIRST_RETRY_S", 0.01)
    # But not with what is under way: a machine that tests share may stand still for seconds.
    monkeypatch.setattr(courier, "STOP_S", 60.0)
    monkeypatch.setattr(shells, "STOP_TIMEOUT_S", 90.0)


@pytest.fixture
def logs() -> Iterator[list[str]]:
    """All that reaches the root logger, from whomever, at whatever level."""
    found: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(logging.Formatter().format(record))

    root, level, keeper = logging.getLogger(), logging.getLogger().level, Keeper()
    root.addHandler(keeper)
    root.setLevel(logging.DEBUG)
    yield found
    root.removeHandler(keeper)
    root.setLevel(level)


def settings(section: dict[str, Any] | None = None, **channels: str) -> Settings:
    environment = {f"TICKBUS_ALERTS_{name.upper()}": url for name, url in channels.items()}
    alerts = {"retry_max_s": 0.05, "send_timeout_s": 60, **(section or {})}
    return Settings({"alerts": alerts}, environment)


@contextlib.asynccontextmanager
async def running(
    bus: MemoryBus, found: Settings, clock: Clock | None = None
) -> AsyncIterator[Shell]:
    service = Shell(build(found), bus, clock=clock)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
        assert service.failure is None


async def pass_by(clock: VirtualClock, seconds: int) -> None:
    """Let so much time pass, with what was to happen in it."""
    until_ns = clock.now_ns() + seconds * 10**9
    while (call := clock.next_due(until_ns)) is not None:
        fired = call()
        if isinstance(fired, asyncio.Task):
            await fired


async def publish(bus: MemoryBus, event: Event) -> None:
    await bus.publish_durable(subjects.of(event), codec.encode([event]), message_id(event))


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not is_so():
            await asyncio.sleep(0.005)


async def asked(bus: MemoryBus) -> AlertsAnswer:
    payload = await bus.request(alerts_api.LIST, codec.encode_value(AlertsQuery()), 30)
    return codec.decode_value(payload, AlertsAnswer)


async def sent(bus: MemoryBus, times: int) -> Alert:
    """The one alert there is, once it counts as sent so often: whom it was sent to knows before."""
    async with asyncio.timeout(30):
        while True:
            answer = await asked(bus)
            for alert in (*answer.active, *answer.recent):
                delivery = alert.deliveries.get("ops")
                if delivery is not None and delivery.sent == times:
                    return alert
            await asyncio.sleep(0.01)


def halted(reason: str = "kill switch") -> Event:
    return a_state(time.time_ns(), TradingState.HALTED, reason=reason)


def hook_url(hook: Webhook) -> str:
    return f"json://user:{SECRET}@127.0.0.1:{hook.port}/{SECRET}"


async def test_a_halt_reaches_a_webhook_and_so_does_its_end() -> None:
    bus, hook = MemoryBus(), Webhook()
    async with listening(hook), running(bus, settings(ops=hook_url(hook))):
        await publish(bus, halted())
        await until(lambda: len(hook.bodies) == 1)
        await publish(bus, a_state(time.time_ns(), TradingState.ACTIVE, actor="bob"))
        await until(lambda: len(hook.bodies) == 2)
        over = await sent(bus, 2)
        assert (await asked(bus)).recent == (over,)
    begun, ended = hook.bodies
    assert begun["title"] == "[tickbus simulated] CRITICAL: trading is HALTED: everything"
    assert begun["type"] == "failure"
    assert "MANUAL by ann: kill switch" in begun["message"]
    assert "tickbus resume" in begun["message"]
    assert ended["title"].startswith("[tickbus simulated] CLEARED: ")
    assert "by bob" in ended["message"]
    assert ended["type"] == "info"
    assert over.because.startswith("MANUAL by bob")


async def test_an_alert_arrives_by_mail() -> None:
    bus, mail = MemoryBus(), MailServer()
    async with listening(mail):
        url = f"mailto://desk:{SECRET}@127.0.0.1:{mail.port}?from=desk@tickbus.test&to=ann@tickbus.test"
        async with running(bus, settings(mail=url)):
            await publish(bus, halted())
            await until(lambda: len(mail.mails) >= 1)
    assert "HALTED" in str(mail.mails[0]["Subject"])
    assert "kill switch" in mail.text
    assert mail.recipients == ["RCPT TO:<ann@tickbus.test>"] or "ann@" in mail.recipients[0]
    assert mail.logins != []


async def test_a_hundred_denials_are_one_message_with_their_count() -> None:
    bus, hook, clock = MemoryBus(), Webhook(), VirtualClock(time.time_ns())
    config = {"rules": {"denial": {"wait_s": 3}}}
    async with listening(hook), running(bus, settings(config, ops=hook_url(hook)), clock):
        for n in range(100):
            await publish(bus, a_denial(time.time_ns(), n))
        await bus.settle()
        await pass_by(clock, 60)
        await until(lambda: len(hook.bodies) == 1)
    assert "100 in all" in hook.bodies[0]["message"]
    assert len(hook.bodies) == 1


async def test_a_channel_that_hangs_or_refuses_holds_up_no_other_and_is_itself_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(courier, "STOP_S", 0.1)
    bus, good, hangs, away = MemoryBus(), Webhook(), Webhook(), Webhook()
    hangs.hang, away.status = True, 503
    failing, back = CHANNEL_AWAY, f"CLEARED: {CHANNEL_AWAY}"
    async with listening(good), listening(hangs), listening(away):
        channels = {"good": hook_url(good), "hangs": hook_url(hangs), "away": hook_url(away)}
        async with running(bus, settings({}, **channels)) as shell:
            await publish(bus, halted())
            await until(lambda: "HALTED" in good.text and failing in good.text)
            reports = {report.name: report for report in (await asked(bus)).channels}
            assert reports["away"].problem == "the server answered 503"
            assert reports["away"].waiting >= 1
            assert reports["hangs"].waiting >= 1
            assert shell.telemetry.gauges["channels_failing"] == 1
            # The channel comes back: it gets what it missed, and that it is back is told.
            away.status = 200
            await until(lambda: back in good.text and "HALTED" in away.text)
    assert failing not in away.text


async def test_many_alerts_that_waited_come_in_one_message() -> None:
    bus, hook = MemoryBus(), Webhook()
    hook.status = 500
    config = {"rules": QUICK | {"channel": {"enabled": False}}}
    async with listening(hook), running(bus, settings(config, ops=hook_url(hook))):
        for n in range(30):
            await publish(bus, a_denial(time.time_ns(), n, f"s{n}"))
        await until(lambda: hook.tries >= 3)
        async with asyncio.timeout(90):
            while (await asked(bus)).channels[0].waiting < 30:
                await asyncio.sleep(0.01)
        # What is being tried now may have been put together when fewer waited.
        before = hook.tries
        await until(lambda: hook.tries > before)
        hook.status = 200
        await until(lambda: len(hook.bodies) > 0)
        async with asyncio.timeout(90):
            while (await asked(bus)).channels[0].waiting:
                await asyncio.sleep(0.01)
    assert len(hook.bodies) <= 3
    assert any("alerts" in title for title in hook.titles)
    assert "and 10 more" in "".join(body["message"] for body in hook.bodies)


async def test_a_restart_sends_what_was_owed_and_repeats_nothing() -> None:
    bus, hook = MemoryBus(), Webhook()
    hook.status = 500
    async with listening(hook):
        async with running(bus, settings(ops=hook_url(hook))):
            await publish(bus, halted())
            await until(lambda: hook.tries >= 1)
        hook.status = 200
        async with running(bus, settings(ops=hook_url(hook))):
            await until(lambda: len(hook.bodies) == 1)
            active = await sent(bus, 1)
        async with running(bus, settings(ops=hook_url(hook))) as third:
            assert [a.alert_id for a in (await asked(bus)).active] == [active.alert_id]
            # Were the first one to be sent again, it would be before this one.
            await publish(bus, a_state(time.time_ns(), TradingState.HALTED, "strategy:x"))
            await until(lambda: len(hook.bodies) == 2)
            await until(lambda: third.telemetry.counts.get(("Notice", "sent")) == 1)
    assert ["everything" in title for title in hook.titles] == [True, False]


async def test_what_was_gathered_when_the_service_died_is_told_after_its_restart() -> None:
    bus, hook = MemoryBus(), Webhook()
    gathering = {"rules": {"denial": {"wait_s": 1}}}
    async with listening(hook):
        still = VirtualClock(time.time_ns())
        async with running(bus, settings(gathering, ops=hook_url(hook)), still):
            await publish(bus, a_denial(time.time_ns()))
            await bus.settle()
            assert hook.bodies == []
        async with running(bus, settings(gathering, ops=hook_url(hook))):
            await until(lambda: len(hook.bodies) == 1)
    assert hook.titles == ["[tickbus simulated] WARNING: denied momentum: NOTIONAL_ABOVE_MAX"]


async def test_no_log_shows_an_address(logs: list[str]) -> None:
    bus, hook, mail = MemoryBus(), Webhook(), MailServer()
    hook.status = 401
    async with listening(hook), listening(mail):
        channels = {
            "hook": hook_url(hook),
            "mail": f"mailto://desk:{SECRET}@127.0.0.1:{mail.port}?from=a@b.test&to=c@d.test",
            "nobody": f"json://user:{SECRET}@127.0.0.1:1/{SECRET}",
        }
        async with running(bus, settings(None, **channels)) as shell:
            await publish(bus, halted())
            await until(lambda: hook.tries >= 4 and len(mail.mails) >= 1)
            await until(lambda: any("channel nobody, try 1" in line for line in logs))
            answer = await asked(bus)
            metrics = [*shell.telemetry.errors, *map(str, shell.telemetry.counts)]
    text = "\n".join([*logs, repr(answer), repr(metrics), str(bus._buckets)])
    assert "channel hook (json)" in text
    assert "channel hook, try 1: the server answered 401" in text
    assert "channel nobody, try 1: no connection, or it broke" in text
    assert SECRET not in text
    assert "127.0.0.1" not in text


async def test_a_channel_can_be_tried_and_says_what_is_wrong() -> None:
    bus, hook = MemoryBus(), Webhook()

    async def trial(channel: str) -> TrialAnswer:
        query = codec.encode_value(TrialQuery(channel=channel))
        return codec.decode_value(await bus.request(alerts_api.TEST, query, 90), TrialAnswer)

    async with listening(hook), running(bus, settings(ops=hook_url(hook))):
        assert await trial("ops") == TrialAnswer(problem="", scheme="json", known=("ops",))
        assert hook.titles == ["[tickbus simulated] test"]
        hook.status = 404
        assert (await trial("ops")).problem == "the server answered 404"
        assert not (await trial("pos")).is_known


async def test_without_a_channel_alerts_are_in_the_log_and_in_the_answer(logs: list[str]) -> None:
    bus = MemoryBus()
    async with running(bus, settings()) as shell:
        await publish(bus, halted())
        await bus.settle()
        (alert,) = (await asked(bus)).active
        assert shell.telemetry.gauges["active_critical"] == 1
    assert (alert.severity, alert.subject) == (Severity.CRITICAL, "global")
    assert any("CRITICAL: trading is HALTED: everything" in line for line in logs)
    assert any("no channel is set" in line for line in logs)


async def test_a_channel_may_be_for_what_is_critical_only() -> None:
    bus, hook, phone = MemoryBus(), Webhook(), Webhook()
    config = {"rules": QUICK, "channels": {"phone": {"severity_min": "CRITICAL"}}}
    async with listening(hook), listening(phone):
        channels = {"ops": hook_url(hook), "phone": hook_url(phone)}
        async with running(bus, settings(config, **channels)):
            await publish(bus, a_denial(time.time_ns()))
            await until(lambda: len(hook.bodies) == 1)
            await publish(bus, halted())
            await until(lambda: len(hook.bodies) == 2 and len(phone.bodies) == 1)
    assert "HALTED" in phone.titles[0]


async def test_tries_that_never_come_back_are_bounded() -> None:
    hook = Webhook()
    hook.hang = True
    async with listening(hook):
        channel = Channel("ops", hook_url(hook), Severity.INFO, 0.05)
        channel._service.socket_read_timeout = 30
        problems = [await channel.send("a", "b", Severity.INFO) for _ in range(5)]
    assert problems[:3] == ["no answer within 0.05 s"] * 3
    assert problems[3:] == ["3 earlier tries have not come back"] * 2


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("TICKBUS_ALERTS_OPS", f"nonsense://{SECRET}"),
        ("TICKBUS_ALERTS_OPS", SECRET),
        ("TICKBUS_ALERTS_OPS", f"tgram://{SECRET}"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_shown(
    variable: str, address: str, logs: list[str]
) -> None:
    with pytest.raises(ConfigError, match=variable) as refused:
        build(Settings({}, {variable: address}))
    assert SECRET not in str(refused.value)
    assert SECRET not in "".join(logs)


def test_an_address_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ops"
    file.write_text("json://127.0.0.1/x\n")
    spec = build(Settings({}, {"TICKBUS_ALERTS_OPS_DESK_FILE": str(file)}))
    (sender,) = (edge for edge in spec.edges if isinstance(edge, courier.Courier))
    assert list(sender.lines) == ["ops-desk"]
    file.write_text("")
    with pytest.raises(ConfigError, match="the file is empty"):
        build(Settings({}, {"TICKBUS_ALERTS_OPS_FILE": str(file)}))
