"""Parts of the instruments, so that several processes of a service share the load."""

import re
from collections.abc import Mapping
from typing import NamedTuple, Self
from zlib import crc32

from tickbus.config import ConfigError

VARIABLE = "TICKBUS_SHARD"
PARTS_VARIABLE = "TICKBUS_SHARDS"
"""How many parts there are, for processes whose part is the number at the end of their names."""
INSTANCE_VARIABLE = "TICKBUS_INSTANCE"


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

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The part of this process: TICKBUS_SHARD, or else by its name.

        With TICKBUS_SHARDS=3 the process whose TICKBUS_INSTANCE is `book-0` has part 1/3: so the
        pods of a StatefulSet are told apart. Without either, all of it. Raises ConfigError.
        """
        text, parts = environment.get(VARIABLE, ""), environment.get(PARTS_VARIABLE, "")
        if text or not parts:
            return cls.parse(text)
        name = environment.get(INSTANCE_VARIABLE, "")
        if not parts.isdecimal() or not 1 <= int(parts) <= 9999:
            raise ConfigError(
                f"{PARTS_VARIABLE}={parts!r}: write how many parts the instruments have, such as 3"
            )
        ordinal = re.search(r"-(\d{1,4})$", name)
        if ordinal is None or int(ordinal[1]) >= int(parts):
            raise ConfigError(
                f"{INSTANCE_VARIABLE}={name!r}: with {PARTS_VARIABLE}={parts} it must end in a"
                f" number from -0 to -{int(parts) - 1}; run {parts} replicas, or set {VARIABLE}"
            )
        return cls(int(ordinal[1]) + 1, int(parts))

    def owns(self, instrument_id: str) -> bool:
        """Whether the instrument is in this part."""
        return self.parts == 1 or crc32(instrument_id.encode()) % self.parts == self.number - 1
