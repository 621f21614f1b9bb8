"""Keys of buckets as the server allows them."""


def escape(key: str) -> str:
    """`key` in what the server takes, and no other key."""
    # Bucket keys are ASCII; venues list symbols in other scripts, so the rest goes as =XX bytes.
    return "".join(
        c
        if c.isascii() and (c.isalnum() or c in "-_./")
        else "".join(f"={b:02X}" for b in c.encode())
        for c in key
    )


def unescape(key: str) -> str:
    """The key that `escape` was given."""
    head, *rest = key.split("=")
    data = head.encode()
    for part in rest:
        data += bytes.fromhex(part[:2]) + part[2:].encode()
    return data.decode()
