"""Everything about access that one gateway has: its store, logins, rates, and the record."""

import logging
import secrets
import sys
from collections.abc import Iterable, Iterator

from starlette.requests import HTTPConnection

from tickbus.clock import Clock, WallClock
from tickbus.config import ConfigError, Settings
from tickbus.events import Event, UserActed
from tickbus.runtime import Context, Reading
from tickbus_api.access import hashing, logins
from tickbus_api.access.hashing import Passwords
from tickbus_api.access.identity import (
    Identity,
    address_of,
    is_loopback,
    network_of,
    networks_of,
)
from tickbus_api.access.logins import Logins
from tickbus_api.access.principal import LOCAL, Principal, Role, Via
from tickbus_api.access.recording import Recorder
from tickbus_api.access.records import (
    SIGNING,
    USER,
    EarlierKey,
    SigningKey,
    Used,
    UserRecord,
)
from tickbus_api.access.store import Store
from tickbus_api.access.throttling import NS_PER_S, Rates
from tickbus_api.config import ApiConfig
from tickbus_api.problems import Problem

ADMIN = "admin"
USED_EVERY_NS = 60 * NS_PER_S
"""How often it is kept that a key was used."""
METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))
"""What is counted by its name: anybody may send any."""
EARLIER_MAX = 4
"""Secrets that sign no more and still count; a token of one before that is refreshed early."""
LOGIN = "POST /api/v1/auth/login"
"""How a login is put on record."""
PASSWORD_VARIABLE = "TICKBUS_ADMIN_PASSWORD"  # noqa: S105 - the variable, not the password

_log = logging.getLogger("tickbus.api.access")


class Access:
    """Who may do what, at one gateway; usable once started.

    `admin_password` is that of the first admin, "" for a random one.
    """

    def __init__(
        self, config: ApiConfig, run_id: str, admin_password: str = "",
        passwords: Passwords | None = None,
    ) -> None:  # fmt: skip
        self.config = config
        self.store = Store()
        self.passwords = passwords or Passwords()
        self.logins = Logins(self.store, self.passwords, config)
        self.identity = Identity(self.store, config)
        self.proxies = networks_of(config.trusted_proxies)
        self.rates = Rates(config.rate_per_s, config.rate_burst)
        self.nobodys_rates = Rates(1.0, 60)
        """How often it is put on record that nobody who is known did something."""
        self.refused_rates = Rates(0.1, 10)
        """How often it is put on record that an API key from an address was refused."""
        self.recorder = Recorder()
        self._admin_password = admin_password
        self._run_id = run_id
        self._requests = 0
        self._answers: dict[tuple[str, str], int] = {}
        self._clock: Clock = WallClock()
        self._context: Context | None = None

    @classmethod
    def of(cls, settings: Settings, config: ApiConfig) -> "Access":
        """As configured. Raises ConfigError where that is not safe."""
        password = settings.secret("admin_password")
        weakness = hashing.weakness(password, ADMIN) if password else ""
        if weakness:
            raise ConfigError(
                f"{PASSWORD_VARIABLE} {weakness}: take another, or leave it out for a random one"
            )
        if config.access == LOCAL and settings.platform.mode == "live":
            raise ConfigError("api.access: local: real money wants users: set it to login")
        if config.access == LOCAL and not is_loopback(config.host) and config.host != "localhost":
            raise ConfigError(
                f"api.access: local: the gateway listens on {config.host}, where others may reach"
                " it: set it to login, or api.host to 127.0.0.1"
            )
        return cls(config, settings.run_id, password)

    async def start(self, context: Context) -> None:
        """Read users and keys, and make the first admin where there is none. Raises BusError."""
        self._context, self._clock = context, context.clock
        context.telemetry.readers.append(self._measure)
        await self.store.start(context.bus, context.telemetry)
        self.recorder.start(context)
        await self.store.change(SIGNING, SigningKey, lambda old: old or self._new_signing_key())
        await self.store.forget_uses()
        if self.identity.is_local:
            _log.info("access: local; whoever is at this machine is its admin")
            return
        _log.info("access: login")
        if not any(self.is_admin(record) for record in self.store.users.values()):
            await self._make_admin()

    async def stop(self) -> None:
        """Put on record what is not yet, and follow no more."""
        await self.recorder.stop()
        await self.store.stop()

    def now_ns(self) -> int:
        """The time, ns UTC."""
        return self._clock.now_ns()

    def hear(self, events: Iterable[Event]) -> None:
        """Hold against users and addresses what was tried at other gateways, by their records."""
        for event in events:
            if not isinstance(event, UserActed) or event.act_id.startswith(f"{self._run_id}-"):
                continue
            address, throttle = network_of(event.address), self.logins.throttle
            if event.code == logins.REFUSED:
                throttle.heard(event.user, address, self.now_ns())
            elif event.action == LOGIN and not event.code:
                throttle.succeeded(event.user, address)

    def new_request_id(self) -> str:
        """A name for a request that no other has, at any gateway."""
        self._requests += 1
        return f"{self._run_id}-{self._requests}"

    async def principal_of(self, connection: HTTPConnection) -> Principal:
        """Who sends this, as it is now. Raises Problem."""
        now_ns = self.now_ns()
        known: Principal | None = connection.scope["state"].get("principal")
        if known is not None and known.via is Via.SESSION:
            return self.identity.still(known, now_ns)
        principal = await self.identity.of(connection, now_ns)
        if principal.key_id:
            self._note_use(principal.key_id, connection, now_ns)
        return principal

    @staticmethod
    def is_admin(record: UserRecord) -> bool:
        """Whether this user may let others in."""
        return record.role is Role.ADMIN and record.is_enabled

    def refused(self, kind: str) -> None:
        """Count a request that was not as it should be: whoever sent it is at fault, not we."""
        if self._context is not None:
            self._context.telemetry.count("Request", kind)

    def note_request(self, method: str, status: int, took_ns: int) -> None:
        """Count an answer to `method` by the class of its status; it began after `took_ns`."""
        if self._context is not None:
            name = method if method in METHODS else "OTHER"
            key = (name, f"{status // 100}xx")
            self._answers[key] = self._answers.get(key, 0) + 1
            self._context.telemetry.observe_ns("request", took_ns)

    def _measure(self) -> Iterator[Reading]:
        for (method, status), n in self._answers.items():
            yield Reading("requests_total", n, {"method": method, "status": status})

    def _note_use(self, key_id: str, connection: HTTPConnection, now_ns: int) -> None:
        last = self.store.used.get(key_id)
        if last is not None and now_ns - last.ts < USED_EVERY_NS:
            return
        used = Used(now_ns, address_of(connection))
        self.store.used[key_id] = used
        assert self._context is not None, "asked before the start"
        self._context.spawn(self._keep_use(key_id, used), f"use of {key_id}")

    async def _keep_use(self, key_id: str, used: Used) -> None:
        try:
            await self.store.note_use(key_id, used)
        except Problem as problem:
            _log.warning("when the key %s was used is not kept: %s", key_id, problem.detail)

    async def rotate(self, *, at_once: bool) -> SigningKey:
        """Sign with another secret from now on. Raises Problem.

        What was signed before stays good until it expires; with `at_once` it is of no use any more.
        """
        now_ns = self.now_ns()

        def edit(old: SigningKey | None) -> SigningKey:
            if old is None or at_once:
                return self._new_signing_key()
            until_ns = now_ns + self.config.token_s * NS_PER_S
            alive = [key for key in old.earlier if key.until_ns > now_ns]
            earlier = (EarlierKey(old.secret, until_ns), *alive)[:EARLIER_MAX]
            return self._new_signing_key(earlier)

        kept = await self.store.change(SIGNING, SigningKey, edit)
        assert kept is not None  # it is never removed
        return kept

    def _new_signing_key(self, earlier: tuple[EarlierKey, ...] = ()) -> SigningKey:
        return SigningKey(secrets.token_bytes(hashing.SECRET_BYTES), self.now_ns(), earlier)

    async def _make_admin(self) -> None:
        password = self._admin_password or hashing.new_secret()[:24]
        made = UserRecord(
            ADMIN, hashing.new_id(), Role.ADMIN, await self.passwords.hash(password), self.now_ns()
        )

        def make(old: UserRecord | None) -> UserRecord:
            return old if old is not None and self.is_admin(old) else made

        kept = await self.store.change(USER + ADMIN, UserRecord, make)
        if kept != made:
            return  # another gateway was first
        _log.warning("there was no admin: made the user %s", ADMIN)
        if not self._admin_password:
            _show(f"tickbus: first start: user {ADMIN}, password {password} (shown once)\n")


def _show(text: str) -> None:
    # Not a record of the log: those travel on and are kept.
    sys.stderr.write(text)
    sys.stderr.flush()
