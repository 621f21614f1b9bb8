"""Waits for the command: over HTTP always, over the bus while there is one."""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from tickbus import __version__, codec, subjects
from tickbus.backoff import delays_s
from tickbus.bus import NatsBus
from tickbus.events import ServiceStatus
from tickbus.kill_api import EXIT_DONE, PATH, SUBJECT, KillReport, KillRequest
from tickbus.runtime import Telemetry
from tickbus.runtime.http import health_app
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.halt import halt
from tickbus_killswitch.kill import Target, accounts_of, has_orders, kill, signing_of

BODY_BYTES_MAX = 16_384
BUS_RETRY_S_MAX = 5.0
PAY_RETRY_S_MAX = 30.0
HALT_TIMEOUT_S = 10.0
_encode = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(KillRequest).decode
log = logging.getLogger("tickbus.killswitch")


class KillSwitch:
    """Runs one kill at a time; who asks for the same meanwhile gets the report of that one."""

    def __init__(
        self, targets: Sequence[Target], config: KillConfig, telemetry: Telemetry, instance: str
    ) -> None:
        self.telemetry = telemetry
        self._targets = targets
        self._config = config
        self._instance = instance
        self._started = time.monotonic()
        self._running: tuple[bool, asyncio.Task[KillReport]] | None = None
        self._owed: dict[str, asyncio.Task[None]] = {}
        self._logins = {target.bus_url: target.bus_login for target in targets}
        # On a new bus whoever is first makes the streams, and that may be the kill switch.
        self._replicas = {target.bus_url: target.bus_replicas for target in targets}
        traded = [target for target in accounts_of(targets) if has_orders(target)]
        unsigned = [
            (t.name, problem) for t in traded for sign, problem in [signing_of(t)] if not sign
        ]
        for name, problem in unsigned:
            log.critical("%s is out of reach of a kill: %s", name, problem)
        telemetry.gauge("accounts", len(traded) - len(unsigned))
        telemetry.gauge("accounts_out_of_reach", len(unsigned))
        telemetry.gauge("ready", 0)

    async def kill(self, request: KillRequest) -> KillReport:
        """Do it; goes on to its end even if whoever asked has left."""
        while self._running is not None:
            flatten, task = self._running
            report = await asyncio.shield(task)
            if flatten or not request.flatten:
                return report
        task = asyncio.create_task(self._kill(request))
        self._running = (request.flatten, task)
        return await asyncio.shield(task)

    async def finished(self) -> None:
        """Wait for the kill that is under way, if there is one; what is owed then stays so."""
        if self._running is not None:
            log.warning("asked to stop in the middle of a kill: it is finished first")
            await asyncio.wait([self._running[1]])
        for url, task in self._owed.items():
            task.cancel()
            log.critical("stopping, and trading is NOT halted at %s: nobody tries any more", url)

    async def _kill(self, request: KillRequest) -> KillReport:
        log.critical("KILL by %s: %s", request.actor or "?", request.reason or "no reason given")
        try:
            report = await kill(self._targets, request, self._config, log.warning)
        finally:
            self._running = None
        report = self._owe(report, request)
        log.critical("%s (%.1f s); %s", report.summary, report.seconds, report.halt_detail)
        self.telemetry.count("Kill", "verified" if report.exit_code == EXIT_DONE else "unverified")
        self.telemetry.gauge("last_exit_code", report.exit_code)
        return report

    # -- the bus, while there is one ---------------------------------------------------------------

    async def follow(self, url: str) -> None:
        """Connect however long it takes, then answer commands and questions; never returns."""
        for delay_s in delays_s(0.2, BUS_RETRY_S_MAX):
            try:
                await self._follow(url)
            except Exception as error:  # noqa: BLE001 - no bus may end the kill switch
                log.info("no bus, and none is needed: %s", error)
            await asyncio.sleep(delay_s)

    def _owe(self, report: KillReport, request: KillRequest) -> KillReport:
        """A bus that could not be told hears of it when it is back; the report says which."""
        for task in self._owed.values():
            task.cancel()  # of an earlier kill; this one has just asked everybody
        self._owed.clear()
        now = time.time_ns()
        for url in report.not_told:
            self._owed[url] = asyncio.create_task(self._pay(url, request, now))
        self.telemetry.gauge("halts_owed", len(self._owed))
        if not report.not_told:
            return report
        hours = self._config.owed_for_s / 3600
        promise = f"tried again for {hours:.3g} h at {', '.join(report.not_told)}"
        detail = f"{report.halt_detail}; {promise}"
        return msgspec.structs.replace(report, halt_detail=detail)

    async def _follow(self, url: str) -> None:
        bus = await NatsBus.connect(
            url, "tickbus-killswitch", self._logins[url], replicas=self._replicas[url]
        )
        try:
            await bus.respond(SUBJECT, self._on_command)
            await bus.respond(subjects.STATUS, self._status)
            await asyncio.Event().wait()
        finally:
            await bus.close()

    async def _pay(self, url: str, request: KillRequest, since_ns: int) -> None:
        """Halt at a bus that was away when it was to be told: trading must not just go on."""
        actor, reason = request.actor or "kill switch", request.reason or "kill"
        give_up, why = time.monotonic() + self._config.owed_for_s, ""
        for delay_s in delays_s(0.2, PAY_RETRY_S_MAX):
            await asyncio.sleep(delay_s)
            try:
                async with asyncio.timeout(HALT_TIMEOUT_S):
                    was_set = await halt(url, actor, reason, self._logins[url], since_ns)
            except Exception as error:  # noqa: BLE001 - tried again until the time is up
                why = str(error) or type(error).__name__
                log.warning("trading is still not halted at %s: %s", url, why)
            else:
                said = "trading is HALTED" if was_set else "somebody set the trading state since"
                log.critical("the bus is back: %s at %s", said, url)
                break
            if time.monotonic() > give_up:
                self.telemetry.error("halt_given_up")
                log.critical(
                    "trading was NOT halted at %s (%s), and nobody tries any more: look there, and"
                    " run `tickbus kill` or `tickbus halt` once it is back", url, why,
                )  # fmt: skip
                break
        if self._owed.get(url) is asyncio.current_task():
            del self._owed[url]
        self.telemetry.gauge("halts_owed", len(self._owed))

    async def _on_command(self, payload: bytes) -> bytes:
        try:
            request = codec.decode_value(payload, KillRequest) if payload else KillRequest()
        except codec.MalformedMessage as error:
            # Who calls for the kill switch in a garbled way still means it.
            self.telemetry.error("malformed")
            request = KillRequest(reason=f"a command that cannot be read: {error}"[:200])
        return codec.encode_value(await self.kill(request))

    async def _status(self, _: bytes) -> bytes:
        now = time.time_ns()
        return codec.encode_value(
            ServiceStatus(
                ts_event=now,
                ts_recv=now,
                service="killswitch",
                instance=self._instance,
                version=__version__,
                ready=True,
                waiting_for="",
                uptime_s=time.monotonic() - self._started,
                counts={f"{k}/{o}": n for (k, o), n in self.telemetry.counts.items()},
                gauges=dict(self.telemetry.gauges),
                latency_us={},
                errors=dict(self.telemetry.errors),
            )
        )


def create_app(switch: KillSwitch, token: str) -> Any:
    """ASGI app: POST /kill for whoever has the token; health and metrics for all."""
    health = health_app(switch.telemetry.registry, dict)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await health(scope, receive, send)
            return
        status, body = await _answer(switch, token, scope, receive)
        kind = b"application/json"
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        with contextlib.suppress(OSError):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    return app


async def _answer(
    switch: KillSwitch, token: str, scope: dict[str, Any], receive: Any
) -> tuple[int, bytes]:
    if scope["method"] != "POST":
        return 405, _error("POST /kill is the command")
    given = dict(scope["headers"]).get(b"authorization", b"")
    if not hmac.compare_digest(given, b"Bearer " + token.encode()):
        switch.telemetry.error("unauthorized")
        return 401, _error("send `Authorization: Bearer TOKEN`, the token of TICKBUS_KILL_TOKEN")
    body = b""
    while len(body) <= BODY_BYTES_MAX:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    try:
        request = _read(body) if body.strip() else KillRequest()
    except (msgspec.DecodeError, RecursionError) as error:
        return 422, _error(f'{error}; send {{"reason": "…", "flatten": false}}; nothing was done')
    report = await switch.kill(request)
    return 200 if report.exit_code == EXIT_DONE else 502, _encode(report)


def _error(text: str) -> bytes:
    return _encode({"error": text})
