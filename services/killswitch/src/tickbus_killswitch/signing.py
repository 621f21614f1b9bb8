"""Signatures of requests: HMAC-SHA256, or Ed25519 where the secret is such a key.

Nothing here is shared with execution, but what execution takes for a key is taken here too.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

Sign = Callable[[bytes], str]
PEM = "-----BEGIN"
SEED_BYTES = 32


class BadSecretError(ValueError):
    """The secret is no key that can sign; the text never quotes it."""


def signer(secret: str, kind: str = "auto") -> Sign:
    """What signs with `secret`; `kind`: `hmac`, `ed25519`, or `auto` to tell by its looks.

    `auto` takes PEM or a 32-byte base64 seed for Ed25519. Raises BadSecretError.
    """
    # An environment variable can hold no line break everywhere: \n is taken for one.
    secret = secret.strip().replace("\\n", "\n")
    if kind == "ed25519" or (kind == "auto" and (secret.startswith(PEM) or _is_seed(secret))):
        return _ed25519(secret)
    keyed = secret.encode()
    return lambda payload: hmac.new(keyed, payload, hashlib.sha256).hexdigest()


def _ed25519(secret: str) -> Sign:
    # Who signs with HMAC shall not have to load it.
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise BadSecretError("an Ed25519 key needs the package cryptography") from error
    try:
        private = (
            load_pem_private_key(secret.encode(), password=None)
            if secret.startswith(PEM)
            else Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret, validate=True))
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        name = type(error).__name__
        raise BadSecretError(f"the secret is no Ed25519 key that can be read ({name})") from None
    if not isinstance(private, Ed25519PrivateKey):
        name = type(private).__name__.strip("_")
        raise BadSecretError(f"the secret is a {name}; Ed25519 and HMAC keys are known")
    return lambda payload: base64.b64encode(private.sign(payload)).decode()


def _is_seed(secret: str) -> bool:
    # Venues give HMAC secrets of 64 letters and digits; 32 bytes in base64 end in one "=".
    try:
        return secret.endswith("=") and len(base64.b64decode(secret, validate=True)) == SEED_BYTES
    except binascii.Error:
        return False
