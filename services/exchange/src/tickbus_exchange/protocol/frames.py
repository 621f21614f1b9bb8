"""WebSocket frames, made once and written to many: a server masks none, so all are equal."""

from websockets.frames import Frame, Opcode


def text_frame(payload: bytes) -> bytes:
    """Return `payload` (JSON, UTF-8) as one complete unmasked text frame."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)
