"""The proof that an approval is risk's: a keyed hash that only risk and execution can make.

The second lock behind the permissions of the NATS server: whoever gets a message onto
`orders.approved.*` past them still cannot make execution believe it. The proof is a third element
of the envelope, which everybody else ignores; it covers the subject and all that is before it.
"""

import hmac

TWO, THREE = b"\x92", b"\x93"
"""How MessagePack begins a list of two and of three elements."""
HEAD = b"\xc4\x20"
"""How MessagePack begins 32 bytes."""
SIZE = 32
KEY_SIZE_MIN = 16
PREFIX = "orders.approved."


class Seal:
    """Makes and checks proofs with `keys`, separated by commas: the first makes, all check.

    So a key is replaced by putting the new one in front, and dropped once no approval that still
    matters has the old one. Raises ValueError for a key shorter than 16 characters.
    """

    def __init__(self, keys: str) -> None:
        self._keys = [key.strip().encode() for key in keys.split(",")]
        if any(len(key) < KEY_SIZE_MIN for key in self._keys):
            raise ValueError(f"each key needs {KEY_SIZE_MIN} characters or more")

    @staticmethod
    def covers(subject: str) -> bool:
        """Whether messages on `subject` need a proof."""
        return subject.startswith(PREFIX)

    def put(self, subject: str, payload: bytes) -> bytes:
        """The envelope `payload` with its proof."""
        if payload[:1] != TWO:
            raise ValueError("only an envelope of two elements can be sealed")
        return THREE + payload[1:] + HEAD + _proof(self._keys[0], subject, payload)

    def holds(self, subject: str, payload: bytes) -> bool:
        """Whether `payload` is what a holder of a key sealed for `subject`."""
        end = len(payload) - SIZE
        if payload[:1] != THREE or payload[end - len(HEAD) : end] != HEAD:
            return False
        plain = TWO + payload[1 : end - len(HEAD)]
        return any(
            hmac.compare_digest(payload[end:], _proof(key, subject, plain)) for key in self._keys
        )


def _proof(key: bytes, subject: str, plain: bytes) -> bytes:
    return hmac.digest(key, subject.encode() + b"\0" + plain, "sha256")
