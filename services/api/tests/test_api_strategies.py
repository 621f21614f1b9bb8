"""Strategies over HTTP, with the service that runs them on the same bus."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest
from api_platform import Gateway, running

from tickbus import codec, subjects
from tickbus.bus import RequestTimeout
from tickbus.events import (
    SetStrategy,
    StrategyChanged,
    StrategyOutcome,
    StrategyPhase,
    StrategyTerms,
)
from tickbus.events.orders import message_id
from tickbus.strategy_api import (
    Checked,
    CheckStrategy,
    KindReport,
    KindReports,
    ListKinds,
    ListStrategies,
    StrategyReport,
    StrategyReports,
    read_question,
)

PHASE = StrategyPhase.RUNNING
OWN = StrategyTerms("momentum", ("ETH-USDT",), {"window_s": 5})


class Platform(Gateway):
    """The gateway, and a stand-in for strategies that applies what is kept in the bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.have_in_files("mo")
        self.terms: dict[str, StrategyTerms | None] = {"mo": OWN}
        self.wishes: list[SetStrategy] = []
        self.lives = True
        self.applies = True
        self.refuses = ""
        self.others_too = False
        """Whether somebody else's wish is applied right behind each."""
        self.finds = Checked()

    def have_in_files(self, *names: str) -> None:
        gateway = self.app.state.gateway
        gateway.configured = gateway.configured._replace(strategies=names)

    async def start(self) -> None:
        await super().start()
        await self.bus.kv_watch("strategies", self._on_wish)
        await self.bus.respond(subjects.STRATEGIES, self._answer)
        await self.bus.respond(subjects.strategy_questions(), self._answer)

    async def _on_wish(self, _: str, payload: bytes) -> None:
        wish = codec.decode_value(payload, SetStrategy)
        self.wishes.append(wish)
        if not self.lives:
            return
        outcome = StrategyOutcome.REFUSED if self.refuses else StrategyOutcome.APPLIED
        if not self.refuses:
            self.terms[wish.strategy_id] = wish.terms
            if wish.deletes:
                del self.terms[wish.strategy_id]
        if self.applies:
            await self._put_on_record(wish, outcome, wish.revision)
        if self.others_too:
            await self._put_on_record(wish, StrategyOutcome.APPLIED, wish.revision + 1)
            await self._put_on_record(wish, StrategyOutcome.QUIET, wish.revision + 1)

    async def _put_on_record(
        self, wish: SetStrategy, outcome: StrategyOutcome, revision: int
    ) -> None:
        change = StrategyChanged(
            wish.ts_event, wish.ts_recv, wish.strategy_id, revision, outcome, None, wish.terms,
            wish.actor, wish.reason, problem=self.refuses, deleted=wish.deletes,
        )  # fmt: skip
        await self.bus.publish_durable(
            subjects.of(change), codec.encode([change]), message_id(change)
        )

    async def _answer(self, payload: bytes) -> bytes | None:
        if not self.lives:
            return None
        answer: Any = None
        match read_question(payload):
            case ListStrategies(""):
                answer = StrategyReports(tuple(map(self._report, self.terms)))
            case ListStrategies(name):
                found = (self._report(name),) if name in self.terms else ()
                answer = StrategyReports(found)
            case ListKinds():
                answer = KindReports((KindReport("momentum", "t", params='{"type":"object"}'),))
            case CheckStrategy():
                answer = self.finds
        return None if answer is None else codec.encode_value(answer)

    def _report(self, name: str) -> StrategyReport:
        revision = max((w.revision for w in self.wishes if w.strategy_id == name), default=0)
        terms = self.terms[name]
        phase = StrategyPhase.RUNNING if terms and terms.is_running else StrategyPhase.STOPPED
        return StrategyReport(name, phase, terms, '{"window_s":5.0}', revision, True, "", ())

    async def send(self, method: str, path: str, **body: Any) -> httpx.Response:
        return await super().send(method, f"/api/v1{path}", **body)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with running(Platform()) as platform:
        yield platform


async def test_strategies_are_listed_and_shown(platform: Platform) -> None:
    listed = (await platform.http.get("/api/v1/strategies")).json()["strategies"]
    assert [(each["id"], each["phase"]) for each in listed] == [("mo", "RUNNING")]
    assert listed[0]["orders"] is None
    shown = (await platform.http.get("/api/v1/strategies/mo")).json()
    assert (shown["orders"], shown["decisions"]) == ([], [])
    assert shown["terms"]["kind"] == "momentum"
    kinds = (await platform.http.get("/api/v1/strategy-kinds")).json()["kinds"]
    assert (kinds[0]["kind"], kinds[0]["params"]) == ("momentum", {"type": "object"})


async def test_stop_start_flatten_and_reset_count_revisions_up(platform: Platform) -> None:
    for path, is_running, flatten in (
        ("stop", False, True), ("start", True, False), ("flatten", True, True),
    ):  # fmt: skip
        body = {"flatten": True} if path == "stop" else {}
        answer = await platform.send("POST", f"/strategies/mo/{path}", reason="r", **body)
        assert answer.status_code == 200, answer.text
        wish = platform.wishes[-1]
        assert wish.terms is not None
        assert (wish.terms.is_running, wish.flatten, wish.reason) == (is_running, flatten, "r")
    answer = await platform.send("POST", "/strategies/mo/reset", reason="r", actor="ann")
    assert answer.json()["applied"] is True
    assert [wish.revision for wish in platform.wishes] == [1, 2, 3, 4]
    assert (platform.wishes[-1].terms, platform.wishes[-1].actor) == (None, "ann")


async def test_parameters_are_merged_and_exact(platform: Platform) -> None:
    answer = await platform.http.patch(
        "/api/v1/strategies/mo/params",
        content='{"params": {"order_notional": 100.10, "window_s": null}, "reason": "r"}',
    )
    assert answer.status_code == 200, answer.text
    assert platform.wishes[0].terms is not None
    assert platform.wishes[0].terms.params == {"order_notional": "100.10"}


async def test_a_new_id_is_made_by_put(platform: Platform) -> None:
    answer = await platform.send(
        "PUT", "/strategies/new", kind="ping-pong", instruments=["BTC-USDT"], reason="r"
    )
    assert answer.status_code == 200, answer.text
    assert platform.wishes[0].terms == StrategyTerms("ping-pong", ("BTC-USDT",))
    assert answer.json()["strategy"]["phase"] == "RUNNING"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/strategies/nope/start", {"reason": "r"}, 404, "UNKNOWN_STRATEGY"),
        ("GET", "/strategies/nope", {}, 404, "UNKNOWN_STRATEGY"),
        ("POST", "/strategies/manual/start", {"reason": "r"}, 422, "INVALID_VALUE"),
        ("POST", "/strategies/a b/start", {"reason": "r"}, 422, "INVALID_VALUE"),
        ("POST", "/strategies/mo/start", {}, 422, "INVALID_VALUE"),
        ("POST", "/strategies/mo/start", {"raison": "r"}, 422, "UNKNOWN_FIELD"),
        ("POST", "/strategies/mo/stop", {"flatten": 1, "reason": "r"}, 422, "INVALID_VALUE"),
        ("PATCH", "/strategies/mo/params", {"params": 1, "reason": "r"}, 422, "INVALID_VALUE"),
        ("PUT", "/strategies/mo", {"instruments": [], "reason": "r"}, 422, "INVALID_VALUE"),
        ("PUT", "/strategies/mo", {"kind": "x", "instruments": 1, "reason": "r"}, 422,
         "INVALID_VALUE"),
    ],
)  # fmt: skip
async def test_what_cannot_be_meant_is_said_and_changes_nothing(
    platform: Platform, method: str, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await platform.send(method, path, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["remedy"]
    assert platform.wishes == []


async def test_what_the_service_would_refuse_is_not_kept(platform: Platform) -> None:
    platform.finds = Checked("params.window_s", "-1", "Expected > 0", "see the kinds")
    answer = await platform.send(
        "PATCH", "/strategies/mo/params", params={"window_s": -1}, reason="r"
    )
    problem = answer.json()
    assert (answer.status_code, problem["field"], problem["value"]) == (
        422, "params.window_s", "-1",
    )  # fmt: skip
    assert platform.wishes == []


async def test_a_refusal_on_record_is_the_answer(platform: Platform) -> None:
    platform.refuses = "kind = momentum: gone; give another"
    answer = await platform.send("POST", "/strategies/mo/start", reason="r")
    assert (answer.status_code, answer.json()["code"]) == (422, "STRATEGY_REFUSED")
    assert "gone" in answer.json()["detail"]


async def test_a_refusal_is_the_answer_also_where_the_next_wish_was_applied_already(
    platform: Platform,
) -> None:
    platform.refuses, platform.others_too = "kind = momentum: gone; give another", True
    answer = await platform.send("POST", "/strategies/mo/start", reason="r")
    assert (answer.status_code, answer.json()["code"]) == (422, "STRATEGY_REFUSED")


async def test_a_wish_that_another_one_overtook_is_not_called_applied(platform: Platform) -> None:
    platform.applies, platform.others_too = False, True
    answer = await platform.send("POST", "/strategies/mo/start", reason="r")
    assert (answer.status_code, answer.json()["code"]) == (409, "CHANGED_MEANWHILE")


async def test_what_another_process_says_of_a_strategy_is_not_believed(
    platform: Platform,
) -> None:
    forged = StrategyReport(
        "mo", PHASE, StrategyTerms("evil.py:Evil", ("ETH-USDT",)), "{}", 9, True, "", ()
    )  # fmt: skip
    ghost = msgspec.structs.replace(forged, strategy_id="ghost")

    async def forge(_: bytes) -> bytes:
        return codec.encode_value(StrategyReports((forged, ghost)))

    # The server lets a login for one strategy answer only here, and where its own id is asked for.
    await platform.bus.respond(subjects.STRATEGIES, forge)
    listed = (await platform.http.get("/api/v1/strategies")).json()["strategies"]
    assert [(each["id"], each["terms"]["kind"]) for each in listed] == [("mo", "momentum")]
    answer = await platform.send(
        "PATCH", "/strategies/mo/params", params={"window_s": 7}, reason="r"
    )
    assert answer.status_code == 200, answer.text
    assert platform.wishes[-1].terms == StrategyTerms("momentum", ("ETH-USDT",), {"window_s": "7"})


async def test_an_answer_of_another_sort_is_a_problem_with_a_remedy(platform: Platform) -> None:
    async def answer(_: bytes) -> bytes:
        return codec.encode_value(Checked())

    platform.bus._responders.insert(0, (subjects.strategy_questions("mo"), answer))
    found = await platform.http.get("/api/v1/strategies/mo")
    assert (found.status_code, found.json()["code"]) == (503, "STRATEGIES_UNINTELLIGIBLE")


async def test_an_id_is_given_up_and_is_unknown_afterwards(platform: Platform) -> None:
    platform.have_in_files()
    answer = await platform.http.delete("/api/v1/strategies/mo?reason=r&actor=ann")
    assert answer.status_code == 200, answer.text
    (wish,) = platform.wishes
    assert (wish.deletes, wish.terms, wish.actor) == (True, OWN, "ann")
    assert answer.json()["strategy"] is None
    answer = await platform.http.delete("/api/v1/strategies/mo")
    assert (answer.status_code, answer.json()["field"]) == (422, "reason")
    answer = await platform.send("POST", "/strategies/mo/start", reason="r")
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_STRATEGY")
    answer = await platform.send(
        "PUT", "/strategies/mo", kind="momentum", instruments=["BTC-USDT"], reason="r"
    )
    assert answer.json()["revision"] == 2


async def test_without_a_process_a_known_wish_is_kept_and_the_answer_says_so(
    platform: Platform,
) -> None:
    await platform.send("POST", "/strategies/mo/stop", reason="r")
    platform.lives = False
    platform.hurry()
    answer = await platform.send("POST", "/strategies/mo/start", reason="r")
    assert (answer.status_code, answer.json()["applied"]) == (202, False)
    assert platform.wishes[-1].revision == 2
    answer = await platform.http.get("/api/v1/strategies")
    assert (answer.status_code, answer.json()["code"]) == (503, "STRATEGIES_UNAVAILABLE")


async def test_two_who_change_at_once_are_told(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> bool:
        return False

    monkeypatch.setattr(platform.bus, "kv_swap", never)
    answer = await platform.send("POST", "/strategies/mo/stop", reason="r")
    assert (answer.status_code, answer.json()["code"]) == (409, "CHANGED_MEANWHILE")


async def test_what_only_ends_is_not_kept_from_it_by_a_broken_file(platform: Platform) -> None:
    platform.finds = Checked("kind", "mine.py:X", "cannot be loaded", "correct it")
    for path in ("stop", "flatten", "reset"):
        answer = await platform.send("POST", f"/strategies/mo/{path}", reason="r")
        assert answer.status_code == 200, answer.text


async def test_one_that_was_reset_to_nothing_can_still_be_flattened(platform: Platform) -> None:
    platform.terms["mo"] = None
    answer = await platform.send("POST", "/strategies/mo/start", reason="r")
    assert answer.status_code == 409
    assert answer.json()["code"] == "STRATEGY_WITHOUT_TERMS"
    answer = await platform.send("POST", "/strategies/mo/flatten", reason="r")
    assert answer.status_code == 200, answer.text
    assert (platform.wishes[-1].terms, platform.wishes[-1].flatten) == (None, True)


async def test_all_strategies_are_stopped_and_started_at_once(platform: Platform) -> None:
    platform.terms |= {"pp": OWN, "off": msgspec.structs.replace(OWN, is_running=False)}
    answer = await platform.send("POST", "/engine/stop", reason="lunch", actor="ann")
    assert (answer.status_code, answer.json()) == (
        200, {"applied": ["mo", "pp"], "pending": [], "unchanged": ["off"], "refused": []},
    )  # fmt: skip
    assert {(w.strategy_id, w.actor, w.flatten) for w in platform.wishes} == {
        ("mo", "ann", False), ("pp", "ann", False),
    }  # fmt: skip
    body = (await platform.http.get("/api/v1/engine")).json()
    assert body == {"running": [], "stopped": ["mo", "off", "pp"], "failed": [], "silent": []}
    answer = await platform.send("POST", "/engine/start", reason="lunch is over")
    assert answer.json()["applied"] == ["mo", "off", "pp"]
    assert (await platform.http.get("/api/v1/engine")).json()["running"] == ["mo", "off", "pp"]


async def test_stopping_all_with_flatten_closes_what_stopped_ones_hold(platform: Platform) -> None:
    platform.terms["off"] = msgspec.structs.replace(OWN, is_running=False)
    answer = await platform.send("POST", "/engine/stop", reason="enough", flatten=True)
    assert (answer.status_code, answer.json()["unchanged"]) == (200, [])
    assert {(w.strategy_id, w.flatten) for w in platform.wishes} == {("mo", True), ("off", True)}


async def test_one_that_is_too_busy_to_answer_is_not_left_out_when_all_stop(
    platform: Platform,
) -> None:
    async def silent(_: bytes) -> bytes:
        raise RequestTimeout("it is busy")

    platform.terms["pp"] = OWN
    platform.bus._responders.insert(0, (subjects.strategy_questions("pp"), silent))
    answer = await platform.send("POST", "/engine/stop", reason="lunch")
    body = answer.json()
    assert (answer.status_code, body["code"], body["applied"]) == (
        409, "STRATEGIES_REFUSED", ["mo"],
    )  # fmt: skip
    assert [(each["id"], each["code"]) for each in body["refused"]] == [
        ("pp", "STRATEGIES_UNAVAILABLE")
    ]


async def test_one_whose_process_is_away_is_named_and_told_when_all_stop(
    platform: Platform,
) -> None:
    terms = {"kind": "ping-pong", "instruments": ["BTC-USDT"], "reason": "r"}
    for name in ("pp", "gone"):
        assert (await platform.send("PUT", f"/strategies/{name}", **terms)).status_code == 200
        del platform.terms[name]
    platform.terms["gone"] = OWN
    deleted = await platform.http.delete("/api/v1/strategies/gone", params={"reason": "r"})
    assert deleted.status_code == 200
    shown = await platform.http.get("/api/v1/strategies/pp")
    assert (shown.status_code, shown.json()["code"]) == (503, "STRATEGIES_UNAVAILABLE")
    assert (await platform.http.get("/api/v1/engine")).json()["silent"] == ["pp"]
    platform.applies = False
    platform.hurry()
    answer = await platform.send("POST", "/engine/stop", reason="lunch")
    assert (answer.status_code, answer.json()["pending"]) == (202, ["mo", "pp"])
    stopped = [w.strategy_id for w in platform.wishes if w.terms and not w.terms.is_running]
    assert sorted(stopped) == ["mo", "pp"]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_those_wished_for_before_the_gateway_began_are_expected(platform: Platform) -> None:
    now = time.time_ns()
    for name, terms in (("old", OWN), ("reset", None)):
        wish = SetStrategy(now, now, name, 3, terms, "ann", "r")
        await platform.bus.kv_put("strategies", name, codec.encode_value(wish))
    await until(lambda: {"old", "reset"} <= set(platform.terms))
    del platform.terms["old"], platform.terms["reset"]  # its process is away
    assert (await platform.http.get("/api/v1/engine")).json()["silent"] == ["old"]
    body = (await platform.send("POST", "/engine/stop", reason="lunch")).json()
    assert body["applied"] == ["mo", "old"], "it is told, and not passed over"
    wish = SetStrategy(now, now, "old", 9, OWN, "ann", "r", deletes=True)
    await platform.bus.kv_put("strategies", "old", codec.encode_value(wish))
    await until(lambda: platform.wishes[-1] == wish)
    assert (await platform.http.get("/api/v1/engine")).json()["silent"] == []


async def test_one_whose_first_wish_was_refused_is_not_expected(platform: Platform) -> None:
    platform.refuses = "it has no such parameter"
    terms = {"kind": "ping-pong", "instruments": ["BTC-USDT"], "reason": "r"}
    answer = await platform.send("PUT", "/strategies/pp", **terms)
    assert (answer.status_code, answer.json()["code"]) == (422, "STRATEGY_REFUSED")
    assert (await platform.http.get("/api/v1/engine")).json()["silent"] == []


async def test_one_of_the_files_that_no_process_runs_is_not_passed_over(platform: Platform) -> None:
    platform.have_in_files("mo", "sma")
    assert (await platform.http.get("/api/v1/engine")).json()["silent"] == ["sma"]
    body = (await platform.send("POST", "/engine/stop", reason="lunch")).json()
    assert [(each["id"], each["code"]) for each in body["refused"]] == [
        ("sma", "STRATEGIES_UNAVAILABLE")
    ]


async def test_engine_says_who_could_not_be_told(platform: Platform) -> None:
    platform.applies = False
    platform.hurry()
    answer = await platform.send("POST", "/engine/stop", reason="lunch")
    assert (answer.status_code, answer.json()["pending"]) == (202, ["mo"])
    platform.applies, platform.refuses = True, "no such kind"
    answer = await platform.send("POST", "/engine/stop", reason="lunch", flatten=True)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (409, "STRATEGIES_REFUSED")
    assert body["refused"] == [{"id": "mo", "code": "STRATEGY_REFUSED", "detail": "no such kind"}]
    answer = await platform.send("POST", "/engine/stop")
    assert (answer.status_code, answer.json()["field"]) == (422, "reason")
