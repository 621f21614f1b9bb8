"""Which part of the instruments a process has, by what it is told or by its name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.config import ConfigError
from tickbus.shard import Shard


def test_alone_a_process_has_all_instruments() -> None:
    assert Shard.of({}) == Shard(1, 1)
    assert Shard.of({"TICKBUS_SHARD": "", "TICKBUS_SHARDS": ""}).owns("BTC-USDT")


def test_the_pods_of_a_stateful_set_share_the_instruments_by_their_numbers() -> None:
    pods = [{"TICKBUS_SHARDS": "3", "TICKBUS_INSTANCE": f"book-{n}"} for n in range(3)]
    assert [Shard.of(pod) for pod in pods] == [Shard(1, 3), Shard(2, 3), Shard(3, 3)]


def test_what_is_said_outright_goes_before_the_name() -> None:
    environment = {
        "TICKBUS_SHARD": "2/2", "TICKBUS_SHARDS": "3", "TICKBUS_INSTANCE": "book-0",
    }  # fmt: skip
    assert Shard.of(environment) == Shard(2, 2)


@given(st.integers(1, 40), st.text(min_size=1, max_size=20))
def test_each_instrument_is_in_exactly_one_part(parts: int, instrument_id: str) -> None:
    shards = [
        Shard.of({"TICKBUS_SHARDS": str(parts), "TICKBUS_INSTANCE": f"feed-{n}"})
        for n in range(parts)
    ]
    assert sum(shard.owns(instrument_id) for shard in shards) == 1


@pytest.mark.parametrize("instance", ["book-3", "book", "4711", "", "book-0-x", "book--"])
def test_a_name_without_a_part_is_refused_with_the_remedy(instance: str) -> None:
    with pytest.raises(
        ConfigError, match=r"TICKBUS_INSTANCE=.* must end in a number from -0 to -2"
    ):
        Shard.of({"TICKBUS_SHARDS": "3", "TICKBUS_INSTANCE": instance})


@pytest.mark.parametrize("parts", ["0", "-1", "three", "1.5", "10000"])
def test_no_number_of_parts_is_refused(parts: str) -> None:
    with pytest.raises(ConfigError, match="TICKBUS_SHARDS="):
        Shard.of({"TICKBUS_SHARDS": parts, "TICKBUS_INSTANCE": "book-0"})
