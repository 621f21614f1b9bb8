"""A memory written down a slice at a time is the same memory when it is read back."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tickbus.runtime.snapshots import SLICE_ITEMS, memory_of, slices_of


class Part(msgspec.Struct, frozen=True):
    """What one of the core's helpers knows."""

    names: dict[str, Decimal]
    places: list[tuple[str, int]]


class Memory(msgspec.Struct, frozen=True):
    """What a core knows."""

    count: int
    first: Part
    second: Part
    ids: list[str]


def a_part(size: int, word: str) -> Part:
    names = {f"{word}{n}": Decimal(n) / 8 for n in range(size)}
    return Part(names, [(word, n) for n in range(size // 2)])


@given(st.integers(0, 3 * SLICE_ITEMS), st.integers(0, 3 * SLICE_ITEMS), st.integers())
def test_memory_of_parts_comes_back_as_it_was(one: int, other: int, count: int) -> None:
    count %= 2**63
    memory = Memory(count, a_part(one, "a"), a_part(other, "b"), [str(n) for n in range(other)])
    slices = list(slices_of(memory))
    again = memory_of(slices, Memory)
    assert again == memory
    assert list(again.first.names) == list(memory.first.names)  # in their order, too
    assert len(slices) == 1 + sum(
        max(1, -(-size // SLICE_ITEMS)) for size in (one, one // 2, other, other // 2, other)
    )
