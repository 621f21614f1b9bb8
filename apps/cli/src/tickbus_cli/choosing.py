"""Which strategies a command runs: the configured ones, or the one that `--strategy` names."""

import argparse
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tickbus.config import Settings
from tickbus_cli import examining
from tickbus_cli.errors import CliError
from tickbus_cli.examining import Examine, Question
from tickbus_strategy.config import StrategyEntry
from tickbus_strategy.finding import located

ID_MAX = 16
AT_ONCE = 4
"""Files of strategies that are examined at the same time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare `--strategy` and `--params`."""
    parser.add_argument(
        "--strategy", default="", metavar="NAME",
        help="only this strategy: an id or kind of the configuration, a registered kind, or"
        " file.py:Class (default: every configured one)",
    )  # fmt: skip
    parser.add_argument(
        "--params", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
        help="with --strategy: these parameters, over those of the configuration",
    )  # fmt: skip


def parameters(texts: Sequence[str]) -> dict[str, Any]:
    """`key=value` texts; a value is what it would be in YAML. Raises CliError."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise CliError(
                f"--params {text!r} is no parameter", "Write them as window_s=5.", exit_code=2
            )
        if key in found:
            raise CliError(f"--params: {key} is given twice", "Give it once.", exit_code=2)
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise CliError(
                f"--params {text!r}: the value is not YAML: {error}", "Quote it.", exit_code=2
            ) from error
    return found


def chosen(
    settings: Settings, wanted: str, params: Sequence[str], instruments: Sequence[str],
    examine: Examine = examining.here,
) -> list[StrategyEntry]:  # fmt: skip
    """The strategies to run, their parameters checked; file names are whole paths.

    One that is not configured trades `instruments`. `examine` imports them, here or elsewhere.
    Raises ConfigError, CliError.
    """
    configured = settings.entries("strategies", StrategyEntry)
    given = parameters(params)
    if not wanted:
        if given:
            raise CliError("--params: of which strategy?", "Name it with --strategy.", exit_code=2)
        return [entry for entry in configured if entry.enabled]
    names = (wanted, located(wanted, settings.folders))
    found = [e for e in configured if e.id == wanted or located(e.kind, settings.folders) in names]
    if not found:
        ids = [entry.id for entry in configured]
        made = examine(Question(kind=wanted, folders=_names(settings), known=ids))
        name = made if ":" in wanted else wanted
        found = [StrategyEntry(id=_id(name), kind=wanted, instruments=tuple(instruments))]
    return [_with(entry, given, settings, examine) for entry in found]


def require_sound_files(settings: Settings, examine: Examine) -> None:
    """Refuse a configured strategy's file that does not hold what it should. Raises ConfigError."""
    configured = settings.entries("strategies", StrategyEntry)
    files = [entry for entry in configured if entry.enabled and ":" in entry.kind]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda entry: _with(entry, {}, settings, examine), files):
            pass


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)[:ID_MAX]


def _names(settings: Settings) -> list[str]:
    return [str(folder) for folder in settings.folders]


def _with(
    entry: StrategyEntry, params: dict[str, Any], settings: Settings, examine: Examine
) -> StrategyEntry:
    kind = located(entry.kind, settings.folders)
    merged = {**entry.params, **params}
    source = "--params" if params else entry.kind
    examine(Question(kind=kind, params=merged, where=f"{entry.id}.params", source=source))
    return msgspec.structs.replace(entry, kind=kind, params=merged, enabled=True)


def narrowed(settings: Settings, entries: Sequence[StrategyEntry]) -> Settings:
    """`settings` with these strategies alone."""
    return replace(settings, raw={**settings.raw, "strategies": msgspec.to_builtins(list(entries))})


def written(directory: Path, settings: Settings) -> Path:
    """A configuration file in `directory` with the strategies of `settings`, for the services."""
    file = directory / "strategies.yaml"
    text = yaml.safe_dump({"strategies": settings.raw["strategies"]}, sort_keys=False)
    file.write_text(f"# Written by tickbus up: what --strategy named.\n{text}", encoding="utf-8")
    return file
