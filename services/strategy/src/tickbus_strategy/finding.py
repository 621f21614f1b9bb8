"""How strategies are found: by the name a package registered, or by `file.py:Class`."""

import importlib.util
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from tickbus.config import ConfigError, nearest
from tickbus_strategy.base import Strategy, StrategyBase
from tickbus_strategy.spanning import SpanningStrategy

GROUP = "tickbus.strategies"


def find(kind: str, places: Sequence[Path] = (), known: Iterable[str] = ()) -> type[StrategyBase]:
    """The strategy class named by a registered name or by `file.py:Class`. Raises ConfigError.

    A file is looked for in the working directory, then in `places`. `known` are further names that
    the caller would have taken, for the hint.
    """
    if ":" in kind or kind.endswith(".py"):
        return _from_file(kind, places)
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in found:
        names = sorted({*found, *known})
        hint = nearest(kind, names, "kinds")
        raise ConfigError(f"strategy kind {kind!r}: not known; {hint} (or file.py:Class)")
    try:
        loaded = found[kind].load()
    except (Exception, SystemExit) as error:  # whatever somebody else's package raises
        raise ConfigError(f"strategy kind {kind!r}: cannot be loaded: {error!r}") from error
    return _checked(loaded, kind)


def located(kind: str, places: Sequence[Path] = ()) -> str:
    """`kind` with the whole path of its file, so that it means the same everywhere."""
    name, colon, class_name = kind.rpartition(":")
    path = _path(name, places) if colon else None
    return kind if path is None else f"{path.resolve()}:{class_name}"


def _path(name: str, places: Sequence[Path]) -> Path | None:
    """The file `name`; None when it is nowhere."""
    tried = (Path(name), *(place / name for place in places))
    return next((path for path in tried if path.suffix == ".py" and path.is_file()), None)


def _from_file(kind: str, places: Sequence[Path]) -> type[StrategyBase]:
    name, colon, class_name = kind.rpartition(":")
    if not colon:
        name, class_name = kind, ""
    path = _path(name, places)
    if path is None:
        folder = Path(name).parent
        files = [str(folder / file.name) for file in sorted(folder.glob("*.py"))]
        hint = f"; {nearest(name, files, 'files')}" if files else ""
        raise ConfigError(f"strategy kind {kind!r}: there is no Python file {name}{hint}")
    module = _load(path, kind)
    if hasattr(module, class_name):
        return _checked(getattr(module, class_name), kind)
    own = [each.__name__ for each in vars(module).values() if _is_own(each, module)]
    if not class_name:
        raise ConfigError(
            f"strategy kind {kind!r}: say which class of it: {name}:{own[0] if own else 'Class'}"
        )
    hint = nearest(class_name, own, "strategies in it")
    raise ConfigError(f"strategy kind {kind!r}: {path} defines no {class_name}; {hint}")


def _load(path: Path, kind: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tickbus_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"strategy kind {kind!r}: {path} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # the last: what lies beside a strategy hides nothing installed
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script that ends itself does not end us
        said = _told(error, spec.origin or str(path))
        raise ConfigError(f"strategy kind {kind!r}: {path} cannot be loaded: {said}") from error
    return module


def _told(error: BaseException, file: str) -> str:
    """What went wrong, with the line of `file` where it did."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"line {error.lineno}: {error.msg}: {(error.text or '').strip()}"
    steps = traceback.extract_tb(error.__traceback__)
    lines = [step.lineno for step in steps if step.filename == file]
    return f"line {lines[-1]}: {error!r}" if lines else repr(error)


def _is_own(value: Any, module: ModuleType) -> bool:
    is_class = isinstance(value, type) and issubclass(value, StrategyBase)
    return is_class and value.__module__ == module.__name__


def _checked(value: Any, kind: str) -> type[StrategyBase]:
    if not (isinstance(value, type) and issubclass(value, Strategy | SpanningStrategy)):
        raise ConfigError(
            f"strategy kind {kind!r}: {value!r} is no subclass of Strategy or SpanningStrategy"
        )
    return value
