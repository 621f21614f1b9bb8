"""Draws price and spread of a capture's instruments over time."""

from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tickbus_cli.inspecting import Inspector

INSTRUMENTS_MAX = 12
"""Pictures of more are not legible: the busiest are drawn."""
mpl.rcParams["svg.fonttype"] = "none"


def draw(inspector: Inspector, path: Path) -> bool:
    """One row per instrument: mid price on the left, spread in basis points on the right.

    False where no instrument ever had a book. Raises OSError.
    """
    shown = sorted((r for r in inspector.readings.values() if r.points), key=lambda r: -r.messages)[
        :INSTRUMENTS_MAX
    ]
    if not shown:
        return False
    figure = Figure(figsize=(12, 0.6 + 2.2 * len(shown)), dpi=100, layout="constrained")
    axes = figure.subplots(len(shown), 2, squeeze=False)
    for (price, spread), reading in zip(axes, shown, strict=True):
        name = f"{reading.instrument.instrument_id}.{inspector.adapter.name}"
        times = [datetime.fromtimestamp(ts / 1e9, UTC) for ts, _, _ in reading.points]
        mids = [mid for _, mid, _ in reading.points]
        price.plot(times, mids, lw=0.9, color="#1f6feb", drawstyle="steps-post")
        price.set_title(f"{name}: mid price", fontsize=9, loc="left")
        bps = [10_000 * gap / mid for _, mid, gap in reading.points]
        spread.plot(times, bps, lw=0.8, color="#bf5700", drawstyle="steps-post")
        spread.set_title("spread, basis points", fontsize=9, loc="left")
        spread.set_ylim(0, 1.1 * max(bps) or 1.0)
        for axis in (price, spread):
            axis.grid(alpha=0.25)
            axis.tick_params(labelsize=7)
            axis.ticklabel_format(axis="y", useOffset=False, style="plain")
            for label in axis.get_xticklabels():
                label.set_rotation(20)
    figure.savefig(path, format="png")
    return True
