"""Frames as they travel: the same bytes for every WebSocket that hears them, made once."""

_FINAL_TEXT = 0x81
_SHORT, _MEDIUM = 126, 127
"""How the first length byte says that the length is in the next 2, or 8 (RFC 6455, 5.2)."""


class Frame:
    """One message to clients; `text` is its JSON."""

    __slots__ = ("_wire", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._wire = b""

    @property
    def wire(self) -> bytes:
        """It as a whole text frame of a server, which is not masked (RFC 6455, 5.1)."""
        if not self._wire:
            payload = self.text.encode()
            self._wire = _head(len(payload)) + payload
        return self._wire


def _head(length: int) -> bytes:
    if length < _SHORT:
        return bytes((_FINAL_TEXT, length))
    if length < 1 << 16:
        return bytes((_FINAL_TEXT, _SHORT)) + length.to_bytes(2, "big")
    return bytes((_FINAL_TEXT, _MEDIUM)) + length.to_bytes(8, "big")
