"""Parts of the instruments, so that several processes of a service share the load."""

import re
from typing import NamedTuple, Self
from zlib import crc32

from tickbus.config import ConfigError

VARIABLE = "TICKBUS_SHARD"


class Shard(NamedTuple):
    """Part `number` of `parts`, counted from 1.

    An instrument is in the same part for every venue and on every machine: by a checksum of its id.
    """

    number: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2/3`; "" is all of it. Raises ConfigError."""
        if not text:
            return cls()
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(
                f"{VARIABLE} or --shard = {text!r}: write I/N with I from 1 to N, such as 1/3"
            )
        return cls(int(match[1]), int(match[2]))

    def owns(self, instrument_id: str) -> bool:
        """Whether the instrument is in this part."""
        return self.parts == 1 or crc32(instrument_id.encode()) % self.parts == self.number - 1
