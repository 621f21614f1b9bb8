"""What the bus keeps: its streams and buckets, and on how many servers each message lies."""

import logging
from collections.abc import Awaitable
from typing import Any

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import (
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)

from tickbus import subjects as names
from tickbus.bus.base import BusError

log = logging.getLogger("tickbus.bus")

NAME_IN_USE = 10058
"""The server's code for a stream of that name with other settings."""
DUPLICATE_WINDOW_S = 600
"""For how long JetStream recognises a repeated message id; longer than any restart should take."""
QUARANTINE_BYTES_MAX = 64 * 1024 * 1024
DEAD_LETTERS_BYTES_MAX = 64 * 1024 * 1024
DECISIONS_BYTES_MAX = 256 * 1024 * 1024
DECISIONS_AGE_S_MAX = 7 * 86_400
DECISIONS_OF_ONE_MAX = 500_000
"""Of one strategy: so that one that decides all the time does not push out the others'."""


def streams(replicas: int) -> tuple[StreamConfig, ...]:
    """The streams, each kept by `replicas` servers of the cluster."""
    return (
        StreamConfig(
            name=names.ORDERS_STREAM,
            subjects=[names.ORDERS_ALL],
            storage=StorageType.FILE,
            retention=RetentionPolicy.LIMITS,
            # NEW: a full stream refuses the next order rather than forgetting an old one.
            discard=DiscardPolicy.NEW,
            duplicate_window=DUPLICATE_WINDOW_S,
            allow_direct=True,
            num_replicas=replicas,
        ),
        StreamConfig(
            name="QUARANTINE",
            subjects=["quarantine.>"],
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_bytes=QUARANTINE_BYTES_MAX,
            num_replicas=replicas,
        ),
        StreamConfig(
            name="DEADLETTERS",
            subjects=["deadletter.*"],
            storage=StorageType.FILE,
            # OLD: an alarm must always get in, and what it is about stays in ORDERS.
            discard=DiscardPolicy.OLD,
            max_bytes=DEAD_LETTERS_BYTES_MAX,
            num_replicas=replicas,
        ),
        StreamConfig(
            name=names.DECISIONS_STREAM,
            subjects=[names.DECISIONS_ALL],
            storage=StorageType.FILE,
            # OLD: they are for who wonders why, and nobody waits for them to be stored.
            discard=DiscardPolicy.OLD,
            max_bytes=DECISIONS_BYTES_MAX,
            max_age=DECISIONS_AGE_S_MAX,
            max_msgs_per_subject=DECISIONS_OF_ONE_MAX,
            allow_direct=True,
            num_replicas=replicas,
        ),
    )


def bucket(name: str, replicas: int) -> StreamConfig:
    """The bucket `name`, which keeps the last value of each key.

    Not as nats-py makes one: there who may write one key may empty the bucket by a header.
    """
    return StreamConfig(
        name=f"KV_{name}",
        subjects=[f"$KV.{name}.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_msgs_per_subject=1,
        deny_delete=True,
        allow_rollup_hdrs=False,
        num_replicas=replicas,
    )


async def ensure_streams(js: JetStreamContext, replicas: int) -> None:
    """Make the streams that are not there yet. Raises BusError, also for too few servers."""
    try:
        for config in streams(replicas):
            try:
                check_replicas(await js.stream_info(str(config.name)), replicas)
            except nats.js.errors.NotFoundError:
                await _unless_there(js.add_stream(config), f"the stream {config.name}", replicas)
    except (nats.errors.Error, TimeoutError) as error:
        raise BusError(
            f"JetStream does not answer ({error}): start nats-server with -js"
        ) from error


async def ensure_bucket(js: JetStreamContext, name: str, replicas: int) -> None:
    """Make the bucket `name` if it is not there yet. Raises BusError, or what nats-py does."""
    try:
        found = await js.stream_info(f"KV_{name}")
        check_replicas(found, replicas)
        check_headers(found)
    except nats.js.errors.NotFoundError:
        making = js.add_stream(bucket(name, replicas))
        await _unless_there(making, f"the bucket {name}", replicas)


async def _unless_there(making: Awaitable[Any], what: str, replicas: int) -> None:
    """Await `making`; fine where another was first. Raises BusError."""
    try:
        await making
    except nats.js.errors.APIError as error:
        if error.err_code == NAME_IN_USE:
            return
        advice = "look at the log of nats-server"
        if replicas > 1:
            advice = f"start {replicas} NATS servers that are one cluster, or set bus.replicas to 1"
        raise BusError(f"{what} cannot be made ({error.description}): {advice}") from error


def check_replicas(info: StreamInfo, replicas: int) -> None:
    """Warn of a stream on fewer servers than wanted; services may make streams, not change them."""
    have, name = info.config.num_replicas or 1, info.config.name
    if have < replicas:
        log.warning(
            "bus: %s is kept on %d server(s) and bus.replicas is %d: as the operator run"
            " `nats stream edit %s --replicas %d`", name, have, replicas, name, replicas,
        )  # fmt: skip


def check_headers(info: StreamInfo) -> None:
    """Warn of a bucket, made by an earlier version, that a header of a strategy's could empty."""
    if info.config.allow_rollup_hdrs:
        log.warning(
            "bus: whoever writes one key of %s may empty all of it: as the operator run"
            " `nats stream edit %s --no-allow-rollup`", info.config.name, info.config.name,
        )  # fmt: skip
