"""What an earlier version wrote is read by this one, and what this one writes by earlier ones."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from crossing import CROSSING
from freeze import FROZEN, described, samples
from rules import broken
from wire import REQUIRED, Reader, a_sample, plain

from tickbus import __version__, codec
from tickbus.codec import MalformedMessage
from tickbus.events import DenialReason, OrderDenied, SubmitOrder
from tickbus_ledger.log import GENESIS, chained, event_from, notes_from

VERSIONS = {path.stem: json.loads(path.read_text()) for path in sorted(FROZEN.glob("*.json"))}
NOW = described()

ROOT = Path(__file__).parents[2]
READS = re.compile(r"decode_value\([^,()]+,\s*([\w.]+(?:\s*\|\s*[\w.]+)*)")
ALIASES = {"Question", "Answer", "Spent"}
"""Names under which what is put down is read in some places."""

each_version = pytest.mark.parametrize("version", VERSIONS)


def agrees(said: Any, read: Any) -> bool:
    """Whether `read` says all that was said; it may say more, in fields that came since."""
    if isinstance(said, dict) and isinstance(read, dict):
        return all(key in read and agrees(value, read[key]) for key, value in said.items())
    if isinstance(said, list) and isinstance(read, list):
        return len(said) == len(read) and all(map(agrees, said, read))
    return bool(said == read)


def test_this_version_is_put_down() -> None:
    assert __version__ in VERSIONS, (
        f"a release of {__version__} leaves nothing to hold later versions against: run"
        f" `python tests/upgrade/freeze.py {__version__}` on what is released, and commit the file"
    )


def test_all_that_is_read_off_the_bus_is_put_down() -> None:
    known = {name.rpartition(".")[2] for name in NOW["structs"]} | ALIASES
    sources = [
        p for part in ("libs", "services", "apps") for p in ROOT.glob(f"{part}/*/src/**/*.py")
    ]
    found = {
        (name.strip().rpartition(".")[2], path.relative_to(ROOT).as_posix())
        for path in sources
        for kinds in READS.findall(path.read_text(encoding="utf-8"))
        for name in kinds.split("|")
    }
    assert len(found) > 30, "READS finds nothing any more"
    unknown = {(name, path) for name, path in found if name[:1].isupper() and name not in known}
    assert not unknown, f"put these into CROSSING (tests/upgrade/crossing.py): {unknown}"


@each_version
def test_no_rule_is_broken(version: str) -> None:
    found = list(broken(VERSIONS[version], NOW))
    assert not found, f"{version} and this version do not understand each other:\n" + "\n".join(
        found
    )


@each_version
def test_what_was_written_is_read(version: str) -> None:
    for name, sample in VERSIONS[version]["samples"].items():
        read = codec.decode_value(bytes.fromhex(sample["bytes"]), CROSSING[sample["label"]])
        assert agrees(sample["value"], plain(read)), f"{name} of {version} means something else now"


@each_version
def test_what_is_written_is_read_by_the_version_before(version: str) -> None:
    """Also with every field set that it never heard of."""
    old = VERSIONS[version]
    reader = Reader(old)
    for name, (label, value) in samples().items():
        if name not in old["samples"]:
            continue  # it asks for nothing that this version alone can say
        kind = reader.kind(old["crossing"][label])
        written = codec.encode_value(as_known(value, old))
        read = msgspec.msgpack.decode(written, type=kind)
        assert agrees(plain(read), plain(value)), f"{name} means something else to {version}"


def as_known(value: Any, old: dict[str, Any]) -> Any:
    """`value` without what a version refuses to read; other classes just read over it."""
    name = f"{type(value).__module__.partition('.')[0]}.{type(value).__qualname__}"
    about = old["structs"].get(name)
    if about is None or not about["strict"]:
        return value
    known = {field[0] for field in about["fields"]}
    return type(value)(**{f: getattr(value, f) for f in value.__struct_fields__ if f in known})


@each_version
def test_books_that_were_kept_are_read_and_their_chain_holds(version: str) -> None:
    for kind, row in VERSIONS[version]["rows"].items():
        columns = row["columns"]
        assert chained(GENESIS, *columns).hex() == row["hash"], f"{kind}: the chain breaks"
        assert agrees(row["event"], plain(event_from(kind, columns[5]))), kind
        assert notes_from(columns[7]).duplicate is True


def test_what_only_a_newer_version_says_is_put_aside_and_not_guessed() -> None:
    hop = ("feed", 1, 2)
    unknown = msgspec.msgpack.encode(([["OrderTeleported", 1, 2]], (hop,)))
    with pytest.raises(MalformedMessage, match="OrderTeleported"):
        codec.decode(unknown)
    with pytest.raises(ValueError, match="use a newer one"):
        event_from("OrderTeleported", "{}")


def test_a_reason_that_only_a_newer_version_knows_is_heard_all_the_same() -> None:
    denied = OrderDenied(1, 2, a_sample(SubmitOrder), DenialReason.SELF_TRADE, "limit=1 value=2")
    newer = codec.encode([denied]).replace(b"\xaaSELF_TRADE", b"\xaaMOON_PHASE")
    (heard,) = codec.decode(newer).events
    assert heard == msgspec.structs.replace(denied, reason=DenialReason.INTERNAL_ERROR)
    # What decides is not guessed: nobody knows what to do with such an order.
    with pytest.raises(MalformedMessage, match="LEND"):
        codec.decode(codec.encode([denied]).replace(b"\xa4SELL", b"\xa4LEND"))


# -- the rules themselves ------------------------------------------------------------------------


Change = Callable[[dict[str, Any]], None]
"""What somebody does to the formats of the next version."""
ORDER = "tickbus.SubmitOrder"
KILL = "tickbus.KillRequest"


def fields(version: dict[str, Any], name: str = ORDER) -> list[Any]:
    found: list[Any] = version["structs"][name]["fields"]
    return found


def refuse_what_is_new(version: dict[str, Any]) -> None:
    fields(version, KILL).append(["softly", "bool", False])
    version["structs"][KILL]["leaves_out"] = False


def after(change: Change) -> str:
    later = copy.deepcopy(NOW)
    change(later)
    return "\n".join(broken(NOW, later))


@pytest.mark.parametrize(
    "change",
    [
        lambda v: None,
        lambda v: fields(v).append(["urgency", "int", 0]),
        lambda v: fields(v, KILL).append(["softly", "bool", False]),
        lambda v: v["enums"]["DenialReason"]["values"].append("TOO_LATE"),
        lambda v: v["crossing"].update({"event OrderTeleported": ["struct", ORDER]}),
    ],
    ids=["nothing", "new last field", "new field left out", "new explanation", "new event"],
)
def test_what_breaks_nothing_is_allowed(change: Change) -> None:
    assert after(change) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: fields(v).pop(), "SubmitOrder.inputs is not there any more"),
        (lambda v: fields(v).pop(3), "SubmitOrder.strategy_id was 'strategy_id' in this"),
        (lambda v: fields(v).insert(0, ["id", "str", ""]), "SubmitOrder.ts_event was"),
        (lambda v: fields(v).append(["urgency", "int", REQUIRED]), "urgency is new and has no def"),
        (lambda v: fields(v)[8].__setitem__(1, "float"), "quantity was decimal and is float now"),
        (lambda v: fields(v)[11].__setitem__(2, True), "post_only had the default False"),
        (lambda v: v["structs"][ORDER].update(tag="NewOrder"), "SubmitOrder is gone"),
        (lambda v: v["structs"]["tickbus.Instrument"].update(array=False), "array=True and is"),
        (lambda v: v["crossing"].pop("bucket limits"), "bucket limits is gone"),
        (lambda v: v["enums"]["DenialReason"]["values"].pop(), "is a value no more"),
        (lambda v: v["enums"]["Side"]["values"].append("BOTH"), "Side.BOTH is a new value"),
        (lambda v: fields(v, KILL).pop(), "KillRequest.actor is not there any more"),
        (refuse_what_is_new, "softly is a new field of what older versions refuse"),
    ],
)
def test_what_breaks_something_is_told_with_what_to_do_instead(change: Change, said: str) -> None:
    assert said in after(change)
