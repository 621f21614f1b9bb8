"""API keys: whose they are, what they may do, and how a signature is verified."""

import base64
import binascii
import hmac
from collections.abc import Callable

from tickbus_exchange.config import ExchangeConfig, KeyConfig
from tickbus_exchange.protocol import errors, signing
from tickbus_exchange.venue import USER

Check = Callable[[bytes, str], bool]


class BadKeyError(ValueError):
    """A key of the configuration cannot be used; the message says which and why."""


class ApiKey:
    """One key of one account."""

    def __init__(self, name: str, account_id: str, config: KeyConfig) -> None:
        self.name = name
        self.account_id = account_id
        self.can_read = "read" in config.permissions
        self.can_trade = "trade" in config.permissions
        self.can_withdraw = "withdraw" in config.permissions
        self.is_ed25519 = bool(config.public_key)
        self._is_signed_by = _ed25519(config) if self.is_ed25519 else _hmac(config.secret.encode())

    def check(self, *, trades: bool) -> None:
        """Raise ApiError -2015 unless the key may do this."""
        if not (self.can_trade if trades else self.can_read):
            raise errors.unknown_key()

    def restrictions(self) -> dict[str, object]:
        """What the key may do, as /sapi/v1/account/apiRestrictions tells it."""
        return {
            "ipRestrict": False, "createTime": 0, "enableReading": self.can_read,
            "enableWithdrawals": self.can_withdraw, "enableInternalTransfer": False,
            "permitsUniversalTransfer": False, "enableMargin": False,
            "enableFutures": self.can_trade, "enableSpotAndMarginTrading": self.can_trade,
            "enableVanillaOptions": False, "enablePortfolioMarginTrading": False,
        }  # fmt: skip

    def verify(self, payload: bytes, signature: str) -> None:
        """Raise ApiError -1022 unless `signature` signs `payload`."""
        if not self._is_signed_by(payload, signature):
            raise errors.bad_signature()


def _hmac(secret: bytes) -> Check:
    def is_signed(payload: bytes, signature: str) -> bool:
        """Hex, in any case."""
        expected = signing.sign(secret, payload).encode()
        return hmac.compare_digest(expected, signature.lower().encode("utf-8", "replace"))

    return is_signed


def _ed25519(config: KeyConfig) -> Check:
    """Load a public key. Only an exchange that has one needs the library."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        message = f"API key {config.key!r} is Ed25519, which needs the package cryptography"
        raise BadKeyError(message) from error
    try:
        public_key = load_pem_public_key(config.public_key.encode())
    except ValueError as error:
        raise BadKeyError(f"API key {config.key!r}: public_key is not PEM: {error}") from error
    if not isinstance(public_key, Ed25519PublicKey):
        raise BadKeyError(f"API key {config.key!r}: public_key is not an Ed25519 key")

    def is_signed(payload: bytes, signature: str) -> bool:
        """Base64, where case matters."""
        try:
            public_key.verify(base64.b64decode(signature, validate=True), payload)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    return is_signed


class Keys:
    """Every API key of the exchange."""

    def __init__(self, config: ExchangeConfig) -> None:
        first = KeyConfig(key=config.api_key, secret=config.api_secret)
        self._keys = {first.key: ApiKey(first.key, USER, first)}
        for account in config.accounts:
            for key in account.keys:
                if key.key in self._keys:
                    raise BadKeyError(f"API key {key.key!r} is there twice")
                self._keys[key.key] = ApiKey(key.key, account.name, key)

    def revoke(self, name: str) -> bool:
        """Forget a key; False where there is none of that name."""
        return self._keys.pop(name, None) is not None

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def find(self, name: str | None) -> ApiKey:
        """Return the key; raise ApiError -2014 or -2015 for any but ours."""
        if not name:
            raise errors.bad_key_format()
        key = self._keys.get(name)
        if key is None:
            raise errors.unknown_key()
        return key
