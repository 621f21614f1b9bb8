"""How the dashboard ages: its heap and its slow frames while a platform feeds it, in Chromium.

Start a platform (`make run`), then: python benchmarks/dashboard.py --minutes 10
The heap is read after a forced collection. A slow frame is one that took more than 100 ms, on the
wall; `busy_ms_per_s` is the time of the processor that the page's main thread took, collections and
all, which a busy machine changes less.
"""

import argparse
import json
import shutil
import time
from typing import Any

from playwright.sync_api import sync_playwright

FRAMES = """() => {
  window.tickbusFrames = { count: 0, slow: 0, worst: 0, updates: 0 };
  let last = performance.now();
  const frame = (now) => {
    const took = now - last;
    last = now;
    const all = window.tickbusFrames;
    all.count += 1;
    all.worst = Math.max(all.worst, took);
    if (took > 100) all.slow += 1;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  const watched = { subtree: true, childList: true, characterData: true };
  new MutationObserver(() => { window.tickbusFrames.updates += 1; })
    .observe(document.getElementById("root"), watched);
}"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def heap_bytes(session: Any) -> int:
    """The heap in use after a collection."""
    session.send("HeapProfiler.collectGarbage")
    return int(session.send("Runtime.getHeapUsage")["usedSize"])


def busy_s(session: Any) -> float:
    """The processor's time that tasks of the main thread took so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


def measure(url: str, minutes: float, every_s: float) -> dict[str, Any]:
    """Watch the page for so long; a sample of the heap every so often."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.get_by_text("Live data").wait_for()
        session = page.context.new_cdp_session(page)
        page.wait_for_timeout(20_000)  # until tapes and tables are as long as they get
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.evaluate(FRAMES)
        busy = busy_s(session)
        samples = [heap_bytes(session)]
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            page.wait_for_timeout(every_s * 1000)
            samples.append(heap_bytes(session))
            print(f"heap {samples[-1] / 1e6:.2f} MB")
        busy = busy_s(session) - busy
        frames = page.evaluate("window.tickbusFrames")
        nodes = page.evaluate("document.querySelectorAll('*').length")
        browser.close()
    seconds = minutes * 60
    return {
        "minutes": minutes,
        "heap_mb": [round(each / 1e6, 2) for each in samples],
        "frames_per_s": round(frames["count"] / seconds, 1),
        "updates_per_s": round(frames["updates"] / seconds, 1),
        "busy_ms_per_s": round(busy / seconds * 1000, 1),
        "slow_frames": frames["slow"],
        "worst_frame_ms": round(frames["worst"]),
        "elements": nodes,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How the dashboard ages while it is fed.")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=30, help="seconds between heap samples")
    arguments = parser.parse_args()
    found = measure(arguments.url, arguments.minutes, arguments.every)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
