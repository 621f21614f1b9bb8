"""What the code says of itself, read from its sources: variables, metrics, who connects where."""

import ast
import re
from functools import cache
from pathlib import Path

from tickbus import kill_api
from tickbus.runtime.main import METRICS_PORTS

ROOT = Path(__file__).parents[2]
SERVICES = tuple(METRICS_PORTS)
COMMON = ROOT / "libs" / "common" / "src"


@cache
def sources(folder: Path) -> tuple[str, ...]:
    """The text of every module below `folder`."""
    return tuple(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py")))


def source_of(service: str) -> Path:
    """Where the code of a service is."""
    return ROOT / "services" / service / "src"


@cache
def _variables_in(folder: Path) -> frozenset[str]:
    found = set()
    for text in sources(folder):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
        names = re.findall(r"\bsecret\(f?\"([a-z_]+)\"\)", text)
        if "secret(TOKEN)" in text:
            names.append(kill_api.TOKEN)
        found |= {f"TICKBUS_{name.upper()}" for name in names}
    return frozenset(s for s in found if re.fullmatch(r"(TICKBUS|OTEL)_[A-Z0-9_]*[A-Z0-9]", s))


@cache
def variables(service: str) -> frozenset[str]:
    """The names of environment variables that a service reads, by itself or through the library."""
    found = {*_variables_in(COMMON), *_variables_in(source_of(service))}
    for file in ROOT.glob("config/**/*.yaml"):
        found |= set(re.findall(r"\$\{(\w+)", file.read_text(encoding="utf-8")))
    return frozenset(found)


def exported(metric: str) -> bool:
    """Whether some code exports the metric: as a gauge, or as what each service has."""
    match = re.fullmatch(r"tickbus_([a-z]+)_(\w+)", metric)
    if match is None or match[1] not in SERVICES:
        return False
    if re.fullmatch(r"(events|errors)_total|latency_seconds_(bucket|count|sum)", match[2]):
        return True
    texts = (*sources(COMMON), *sources(source_of(match[1])))
    said = (f'gauge("{match[2]}"', f'yield "{match[2]}"')
    return any(words in text for text in texts for words in said)


@cache
def users_of(word: str) -> frozenset[str]:
    """The services whose own code has `word` in it, as a name of its own."""
    pattern = re.compile(rf"\b{word}\b")
    texts = ((name, sources(source_of(name))) for name in SERVICES)
    return frozenset(name for name, found in texts if any(map(pattern.search, found)))
