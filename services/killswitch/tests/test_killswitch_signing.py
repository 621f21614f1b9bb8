"""What signs the kill switch's requests: every kind of key that execution trades with."""

import base64
import hashlib
import hmac
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tickbus.kill_api import AccountReport
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.kill import Target, _account
from tickbus_killswitch.rest import Rest
from tickbus_killswitch.signing import BadSecretError, signer

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def pem(key: Ed25519PrivateKey | X25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


SEED = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize(
    "secret", [pem(PRIVATE), pem(PRIVATE).replace("\n", "\\n"), SEED], ids=["pem", "line", "seed"]
)
async def test_an_ed25519_key_signs_what_is_sent(secret: str) -> None:
    rest = Rest("http://venue", "key", signer(secret), "/api/v3/time", 1.0)
    query, _, signature = rest._signed({"symbol": "BTCUSDT"}).partition("&signature=")
    PRIVATE.public_key().verify(base64.b64decode(unquote(signature)), query.encode())
    assert not set("+/=") & set(signature)
    await rest.close()


@pytest.mark.parametrize(("secret", "kind"), [("a-secret", "auto"), (SEED, "hmac")])
def test_any_other_secret_signs_by_hmac(secret: str, kind: str) -> None:
    wanted = hmac.new(secret.encode(), b"a=1", hashlib.sha256).hexdigest()
    assert signer(secret, kind)(b"a=1") == wanted


@pytest.mark.parametrize(
    "secret", ["-----BEGIN rubbish", pem(X25519PrivateKey.generate())], ids=["torn", "x25519"]
)
def test_a_key_that_cannot_sign_leaves_its_account_unverified(secret: str) -> None:
    with pytest.raises(BadSecretError):
        signer(secret)
    target = Target(
        "a", "binance", "http://venue", (), "live", "venue", "key", secret, "nats://bus:4222"
    )
    report = _account(target, KillConfig(), lambda _: None, 0.0)
    assert isinstance(report, AccountReport)
    assert not report.verified
    assert secret not in str(report)
