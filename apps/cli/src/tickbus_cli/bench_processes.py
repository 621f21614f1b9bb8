"""Ending what a benchmark started, whatever became of the benchmark."""

import asyncio
import contextlib
from collections.abc import Sequence

END_S = 10.0


async def end(processes: Sequence[asyncio.subprocess.Process]) -> None:
    """Ask those that still run to end; those that have not after `END_S` are killed."""
    running = [process for process in processes if process.returncode is None]
    for process in running:
        process.terminate()
    for process in running:
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
