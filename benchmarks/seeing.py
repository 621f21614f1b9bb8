"""What seeing costs: metrics and traces on the way of a tick and of an order, beside none.

    python benchmarks/seeing.py [--path ticks|orders] [--nats] [--rounds 20] [--together 1]
    python benchmarks/seeing.py --instructions [--path ticks|orders] [--nats]      # wants valgrind

Four processes do the same in turns, and tell the processor time (user and system) of the thread
that handles events. `nothing` is the same source with every statement left out that counts, times
or notes, and without hops in the messages; `metrics` is as it runs without a collector; `noted` is
with one, up to the queue of the thread that exports; `told` has every span of every order made and
sent, without the bound that the thread has: it takes at most `CPU_SHARE` of a processor on top of
`noted`.

Others use the machine, too, and take the caches with them. So an arm is timed in many short bursts,
what counts is the 20th percentile of them, and the arms take turns there and back. That still
varies by some per cent from run to run. So do instructions, as valgrind counts them, presumably by
what services do by the clock while everything else is slow.
"""

import argparse
import ast
import asyncio
import gc
import importlib.machinery
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

ARMS = ("nothing", "metrics", "noted", "told")
CALLS = frozenset({
    "count", "error", "reason", "gauge", "observe_ns", "observe_us",  # telemetry
    "heard", "said", "sent", "booked", "called",  # tracer
})  # fmt: skip
SIGHTED = ("tickbus.runtime.telemetry", "tickbus.traces", "tickbus.tracing")
"""What keeps the numbers and the notes; it is there, and nobody calls it."""
COUNTS = re.compile(r"^(handled = self\.telemetry|handled\[|self\.telemetry\.published\[)")
BURSTS = 10
WARM = 3
"""Rounds that do not count: caches, lazy imports, dictionaries that grow."""


class Blind(ast.NodeTransformer):
    """Leaves out each statement that counts, times or notes, and what then has nothing to do."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """`telemetry.count(...)` and the like."""
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            whose = ast.unparse(call.func.value)
            if call.func.attr in CALLS and whose.endswith(("telemetry", "tracer")):
                return None
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | None:
        """Counters by hand."""
        return None if COUNTS.match(ast.unparse(node)) else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """`if hops:` the way here is timed."""
        return None if ast.unparse(node.test) == "hops" else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """Counters by hand, and the hops that the next service measures by."""
        text = ast.unparse(node)
        if COUNTS.match(text):
            return None
        if text.startswith("way = (*hops, Hop("):
            node.value = ast.Tuple([], ast.Load())
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Blocks that are empty now: gone where that is nothing, else `pass`."""
        before = {name: bool(getattr(node, name, None)) for name in ("body", "orelse")}
        super().generic_visit(node)
        if isinstance(node, ast.If | ast.For) and not node.body and not node.orelse:
            return ast.Pass()
        if before["body"] and not getattr(node, "body"):  # noqa: B009 - of a kind with a body
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node


class BlindLoader(importlib.machinery.SourceFileLoader):
    """Compiles a module without what sees."""

    def get_code(self, fullname: str) -> Any:
        """The module's code; never from the cache."""
        path = self.get_filename(fullname)
        tree = Blind().visit(ast.parse(self.get_data(path)))
        return compile(ast.fix_missing_locations(tree), path, "exec")


class BlindFinder(MetaPathFinder):
    """Finds the platform's modules for `BlindLoader`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module, blinded."""
        if not fullname.startswith("tickbus") or fullname.startswith(SIGHTED):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = BlindLoader(spec.loader.name, spec.loader.path)
        return spec


# -- one arm, in a process of its own --------------------------------------------------------------


async def act(arguments: argparse.Namespace) -> None:
    """Be one arm: a line with a number of events comes in, a line with what they took goes out."""
    import seeing_paths

    from tickbus.bus import Bus, MemoryBus, NatsBus
    from tickbus.runtime import Telemetry
    from tickbus.traces import tracer as tracing
    from tickbus_embedded import EmbeddedNats

    tracers: list[tracing.Tracer] = []
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": arguments.collector}

    def tracer_of(service: str, telemetry: Telemetry) -> tracing.Tracer | None:
        if arguments.arm not in ("noted", "told"):
            return None
        made = tracing.Tracer.of(environment, service, "0", telemetry)
        if made is not None:
            made._every_s = 0.02
            tracers.append(made)
            if arguments.arm == "told":
                made.start()
        return made

    tracing.CPU_SHARE = 1.0
    memory, directory = MemoryBus(), tempfile.TemporaryDirectory()
    server = EmbeddedNats(Path(directory.name))

    async def connect(name: str) -> Bus:
        return await NatsBus.connect(server.url, name) if arguments.nats else memory

    if arguments.nats:
        await server.start()
    seeing_paths.Ticks.together = arguments.together
    path = seeing_paths.PATHS[arguments.path](connect, tracer_of, arguments.events_max)
    await path.start()
    gc.collect()
    gc.freeze()  # as a service does
    gc.set_threshold(50_000, 20, 100)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        bursts, count = map(int, line.split())
        spent, all_s = [], time.process_time()
        for _ in range(bursts):
            used_s = time.thread_time()
            await path.run(count)
            spent.append((time.thread_time() - used_s) / count * 1e6)
        if arguments.arm == "told":
            while any(made._notes for made in tracers):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        all_us = (time.process_time() - all_s) / count / bursts * 1e6
        if arguments.arm == "noted":
            for made in tracers:
                made._notes.clear()
        print(json.dumps([spent, all_us]), flush=True)
    kept = {
        name: [sum(shell.telemetry.counts.values()), len(shell.telemetry.latencies)]
        for name, shell in path.shells.items()
    }
    told = [
        sum(s.telemetry.counts.get(("Span", "exported"), 0) for s in path.shells.values()),
        sum(s.telemetry.errors.get("trace_notes_dropped", 0) for s in path.shells.values()),
    ]
    print(json.dumps({"kept": kept, "told": told, "scrape_ms": path.scrape()}), flush=True)
    await path.stop()
    await server.stop()
    directory.cleanup()


# -- all arms, in turns ----------------------------------------------------------------------------


class Arm:
    """The process of one arm."""

    def __init__(
        self, name: str, arguments: argparse.Namespace, collector: str, before: Sequence[str] = ()
    ) -> None:
        command = [
            *before, sys.executable, __file__, "--arm", name, "--path", arguments.path,
            "--collector", collector, "--events-max", str(arguments.events_max),
            "--together", str(arguments.together),
            *(["--nats"] if arguments.nats else []),
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._said("ready")

    def run(self, bursts: int, count: int) -> tuple[list[float], float]:
        """Microseconds an event: of the thread that handles it, a burst each; of all threads."""
        spent, all_us = json.loads(self._ask(f"{bursts} {count}\n"))
        return spent, all_us

    def control(self, *wishes: str) -> None:
        """Tell the valgrind that it runs in."""
        pid = str(self._process.pid)
        told = ["callgrind_control", *wishes, pid]
        subprocess.run(told, check=True, capture_output=True, timeout=60)

    def end(self) -> dict[str, Any]:
        """What it counted and told; it ends with that."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()
        found: dict[str, Any] = json.loads(self._said())
        self._process.wait(60)
        return found

    def _ask(self, line: str) -> str:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(line)
        stdin.flush()
        return self._said()

    def _said(self, wanted: str = "") -> str:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline().strip()
        if not line or (wanted and line != wanted):
            raise SystemExit(f"an arm ended early: {line!r}")
        return line


def compare(arguments: argparse.Namespace, collector: str) -> None:
    """Processor time, in rounds of all arms there and back."""
    arms = {name: Arm(name, arguments, collector) for name in ARMS}
    spent: dict[str, list[list[float]]] = {name: [] for name in ARMS}
    whole: dict[str, list[float]] = {name: [] for name in ARMS}
    for number in range(arguments.rounds + WARM):
        turn = ARMS if number % 2 else ARMS[::-1]
        rounds: dict[str, list[float]] = {name: [] for name in ARMS}
        for name in (*turn, *turn[::-1]):
            bursts, all_us = arms[name].run(BURSTS, arguments.burst)
            rounds[name] += bursts
            if number >= WARM:
                whole[name].append(all_us)
        if number >= WARM:
            for name in ARMS:
                spent[name].append(rounds[name])
    print(f"{arguments.path}, {'NATS' if arguments.nats else 'memory'}: processor time an event")
    for name in ARMS:
        ratios = [
            quiet(ours) / quiet(theirs)
            for ours, theirs in zip(spent[name], spent["nothing"], strict=True)
        ]
        low, middle, high = statistics.quantiles(ratios, n=4)
        bursts = [us for each in spent[name] for us in each]
        of_all = quiet(bursts) / quiet([us for each in spent["nothing"] for us in each])
        print(
            f"  {name:8} {quiet(bursts):8.2f} us {of_all:6.3f}, by rounds {middle:.3f}"
            f" (half between {low:.3f} and {high:.3f}); all threads {quiet(whole[name]):8.2f} us"
        )
    report({name: arm.end() for name, arm in arms.items()})


def count_instructions(arguments: argparse.Namespace, collector: str) -> None:
    """Instructions an event, as valgrind counts them."""
    print(f"{arguments.path}, {'NATS' if arguments.nats else 'memory'}: instructions an event")
    ends, floor = {}, 0.0
    for name in ARMS[:-1]:  # without `told`, which is another thread's work
        with tempfile.TemporaryDirectory() as directory:
            valgrind = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
            out = Path(directory) / "counted"
            arm = Arm(name, arguments, collector, [*valgrind, f"--callgrind-out-file={out}"])
            arm.run(WARM * BURSTS, arguments.burst)
            arm.control("--instr=on")
            arm.run(arguments.rounds, arguments.burst)
            arm.control("--dump")
            arm.control("--instr=off")
            ends[name] = arm.end()
            dumped = out.with_name("counted.1").read_text()
        found = re.search(r"^(?:totals|summary): (\d+)", dumped, re.MULTILINE)
        assert found is not None, "valgrind counted nothing"
        each = int(found[1]) / arguments.rounds / arguments.burst
        floor = floor or each
        print(f"  {name:8} {each:12,.0f} {each / floor:6.3f}", flush=True)
    report(ends)


def quiet(times: Sequence[float]) -> float:
    """What an event takes when nobody is in the way: the 20th percentile."""
    return statistics.quantiles(times, n=5)[0]


def report(ends: dict[str, dict[str, Any]]) -> None:
    """What was counted, told, and what a scrape takes; complains of an arm that was none."""
    blind = ends["nothing"]["kept"]
    if any(count or latencies for count, latencies in blind.values()):
        raise SystemExit(f"`nothing` counted something: {blind}")
    if not all(count for count, _ in ends["metrics"]["kept"].values()):
        raise SystemExit(f"`metrics` counted nothing: {ends['metrics']['kept']}")
    scrapes = ends["metrics"]["scrape_ms"]
    print("  a scrape takes", ", ".join(f"{n} {ms:.1f} ms" for n, ms in scrapes.items()))
    exported, dropped = ends["told"]["told"] if "told" in ends else (0, 0)
    print(f"  {exported} spans told, {dropped} notes dropped")


def main() -> None:
    """Read the arguments; be an arm, or run them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", choices=("ticks", "orders"), default="ticks")
    parser.add_argument("--nats", action="store_true", help="over a server, a connection a service")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--instructions", action="store_true", help="counted by valgrind")
    parser.add_argument("--burst", type=int, default=0, help="events on their way at once")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--together", type=int, default=1, help="frames that the feed had waiting")
    parser.add_argument("--events-max", type=int, default=10_000, help=argparse.SUPPRESS)
    parser.add_argument("--collector", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm == "nothing":
        sys.meta_path.insert(0, BlindFinder())
    if arguments.arm:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(act(arguments))
        return
    arguments.burst = arguments.burst or {"ticks": 50, "orders": 10}[arguments.path]
    bursts = 2 * (arguments.rounds + WARM) * BURSTS
    if arguments.instructions:
        bursts = WARM * BURSTS + arguments.rounds
    arguments.events_max = bursts * arguments.burst
    from tickbus_testkit.collector import a_collector

    with a_collector() as collector:
        measure = count_instructions if arguments.instructions else compare
        measure(arguments, collector.url)


if __name__ == "__main__":
    main()
