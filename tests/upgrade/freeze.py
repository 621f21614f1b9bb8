"""Puts down what this version writes, for later versions to be held against.

    python tests/upgrade/freeze.py 1.4.0

Once per release: what was put down is what was released, and is never written again.
"""

import json
import sys
import typing
from pathlib import Path
from typing import Any

from crossing import CROSSING
from wire import Formats, a_sample, plain

from tickbus import codec
from tickbus.codec import Hop
from tickbus.events import OrderPathEvent
from tickbus_ledger.log import GENESIS, Notes, row_of

FROZEN = Path(__file__).with_name("frozen")


def described() -> dict[str, Any]:
    """The formats of this version."""
    formats = Formats()
    crossing = {label: formats.put_down(kind) for label, kind in CROSSING.items()}
    return {"crossing": crossing, "structs": formats.structs, "enums": formats.enums}


def samples() -> dict[str, tuple[str, Any]]:
    """(label, a value of it) by name: one for each kind that may be under the label."""
    found = {}
    for label, kind in CROSSING.items():
        for each in typing.get_args(kind) or (kind,):
            name = label if each is kind else f"{label}: {each.__name__}"
            found[name] = (label, a_sample(each, name))
    return found


def rows() -> dict[str, Any]:
    """A row of the ledger's log for each event that is kept there."""
    notes = a_sample(Notes, "notes")
    found = {}
    for kind in typing.get_args(OrderPathEvent):
        event = a_sample(kind, f"row {kind.__name__}")
        row = row_of(GENESIS, 7, "order-1", event, (Hop("feed", 1, 2),), notes)
        found[kind.__name__] = {"columns": row[:-1], "hash": row.hash.hex(), "event": plain(event)}
    return found


def frozen() -> dict[str, Any]:
    """All of it."""
    told = {
        name: {"label": label, "bytes": codec.encode_value(value).hex(), "value": plain(value)}
        for name, (label, value) in samples().items()
    }
    return {**described(), "samples": told, "rows": rows()}


def main(version: str) -> None:
    """Write the file of `version`; ends the process where there is one."""
    path = FROZEN / f"{version}.json"
    if path.exists():
        sys.exit(f"{path} is there already: what a released version wrote never changes")
    lines = [
        f"{json.dumps(part)}: {{\n"
        + ",\n".join(f" {json.dumps(name)}: {json.dumps(about)}" for name, about in found.items())
        + "\n}"
        for part, found in frozen().items()
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
