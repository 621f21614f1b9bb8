"""Signatures of requests: HMAC-SHA256 keys and Ed25519 keys, told apart by their secret."""

import base64
import binascii
import hashlib
import hmac
from typing import Literal, Protocol

from tickbus.config import ConfigError

KeyType = Literal["auto", "hmac", "ed25519"]
PEM = "-----BEGIN"
SEED_BYTES = 32


class Signer(Protocol):
    """A key that signs; `can_log_on`: the venue lets a session be authenticated with it."""

    key: str
    can_log_on: bool

    def sign(self, payload: bytes) -> str:
        """The signature of `payload` as the venue spells it, not percent-encoded."""
        ...


class HmacSigner:
    """HMAC-SHA256, hexadecimal."""

    can_log_on = False

    def __init__(self, key: str, secret: str) -> None:
        self.key = key
        # Scheduling the key is half of the work, and the same each time.
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def sign(self, payload: bytes) -> str:
        """64 hexadecimal digits."""
        mac = self._keyed.copy()
        mac.update(payload)
        return mac.hexdigest()


class Ed25519Signer:
    """Ed25519, base64; `secret` is a PKCS#8 private key in PEM, or its 32-byte seed in base64."""

    can_log_on = True

    def __init__(self, key: str, secret: str) -> None:
        # Who signs with HMAC shall not have to load it.
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self.key = key
        try:
            private = (
                load_pem_private_key(secret.encode(), password=None)
                if secret.startswith(PEM)
                else Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret, validate=True))
            )
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            # Not the error's text: it may quote what it read.
            raise ConfigError(
                "TICKBUS_VENUE_API_SECRET is no Ed25519 private key that can be read"
                f" ({type(error).__name__}): give an unencrypted PKCS#8 PEM, or the 32-byte seed in"
                " base64, or set execution.key_type: hmac"
            ) from None
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigError(
                f"TICKBUS_VENUE_API_SECRET holds a {type(private).__name__.strip('_')}: only"
                " Ed25519 and HMAC keys are supported; make an Ed25519 key at the venue"
            )
        self._private = private

    def sign(self, payload: bytes) -> str:
        """64 bytes in base64."""
        return base64.b64encode(self._private.sign(payload)).decode()


def signer(key: str, secret: str, kind: KeyType = "auto") -> Signer:
    """The signer for a secret; `auto` takes PEM or a 32-byte base64 seed for Ed25519, else HMAC.

    Raises ConfigError for a secret that is not what it is said to be.
    """
    # An environment variable can hold no line break everywhere: \n is taken for one.
    secret = secret.strip().replace("\\n", "\n")
    ed25519 = kind == "ed25519" or (kind == "auto" and (secret.startswith(PEM) or _is_seed(secret)))
    return Ed25519Signer(key, secret) if ed25519 else HmacSigner(key, secret)


def _is_seed(secret: str) -> bool:
    # Venues give HMAC secrets of 64 letters and digits; 32 bytes in base64 end in one "=".
    try:
        return secret.endswith("=") and len(base64.b64decode(secret, validate=True)) == SEED_BYTES
    except binascii.Error:
        return False
