"""What ships with the platform is registered, described for people, and bounded for machines."""

import importlib
import tomllib
from pathlib import Path

import msgspec
import pytest

from tickbus.config import convert
from tickbus.config import load as read_settings
from tickbus_strategy.base import StrategyBase
from tickbus_strategy.config import entries
from tickbus_strategy.spanning import SpanningStrategy

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
SHIPPED = PROJECT["project"]["entry-points"]["tickbus.strategies"]


def load(name: str) -> type[StrategyBase]:
    module, _, attribute = SHIPPED[name].partition(":")
    kind: type[StrategyBase] = getattr(importlib.import_module(module), attribute)
    return kind


def words(text: str | None) -> str:
    return " ".join((text or "").split())


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_strategy_says_what_it_does_when_and_when_it_loses(name: str) -> None:
    kind = load(name)
    assert kind.title
    described = words(kind.__doc__)
    for part in ("Idea: ", "Entry: ", "Exit: ", "Loses "):
        assert part in described, f"{name}: its docstring has no {part!r}"


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_parameter_is_described_and_numbers_have_bounds(name: str) -> None:
    params = load(name).Params
    described = words(params.__doc__)
    (schema,) = msgspec.json.schema_components([params])[1].values()
    for field, rule in schema["properties"].items():
        assert f"`{field}`" in described, f"{name}: {field} is not described"
        if rule.get("type") in ("integer", "number"):
            bounds = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}
            assert bounds & rule.keys(), f"{name}: {field} has no bounds"
    params()  # every one has a default


CONFIG = Path(__file__).parents[3] / "config"


@pytest.mark.parametrize("file", sorted((CONFIG / "strategies").glob("*.yaml")), ids=str)
def test_example_configuration_can_be_used_as_it_is(file: Path) -> None:
    files = [CONFIG / "default.yaml", CONFIG / "venues" / "two-exchanges.yaml", file]
    settings = read_settings(files, {})
    found = entries(settings)
    assert found
    for entry in found:
        kind = load(entry.kind)
        convert(entry.params, kind.Params, entry.id, "")
        assert issubclass(kind, SpanningStrategy) == bool(entry.venues)
