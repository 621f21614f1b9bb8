"""Make the skeleton of something of your own, in a folder outside this project.

tickbus new strategy my_strategy
tickbus new strategy my_strategy --dir ~/strategies
"""

import argparse
import importlib.machinery
import keyword
import re
import shlex
import shutil
import sys
from importlib import resources
from pathlib import Path
from string import Template
from typing import NamedTuple

from tickbus.permissions import RESERVED
from tickbus_cli.errors import CliError
from tickbus_cli.practice import practice_capture

TEMPLATES = ("strategy.py", "test_strategy.py", "config.yaml", "pyproject.toml", "README.md")
TAKEN = frozenset(
    {"annotated", "denial_reason", "order_type", "positive", "quote", "side", "story", "strategy"}
)
"""Their classes would hide what the skeleton imports."""
ID_MAX = 16
EXIT_USAGE = 2


class Names(NamedTuple):
    """What a strategy is called: its module, its class, its id."""

    module: str
    class_name: str
    id: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("what", choices=["strategy"], help="what to make")
    parser.add_argument("name", metavar="NAME", help="such as my_strategy: a name for a module")
    parser.add_argument(
        "--dir", type=Path, default=Path(), metavar="PATH",
        help="make the folder NAME there (default: here)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Make the folder; 0 when all of it is there."""
    names = named(arguments.name)
    folder = make(names, arguments.dir)
    print(f"made {folder}")
    for file in sorted(folder.iterdir()):
        print(f"  {file.name}")
    print(f"next:\n  cd {shlex.quote(str(folder))}\n  {program('pytest')}\n  cat README.md")
    return 0


def named(name: str) -> Names:
    """The names that follow from `name`. Raises CliError for one that cannot be a module's."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]*", words):
        near = re.sub(r"[^a-z0-9]+", "_", words).strip("_0123456789") or "my_strategy"
        raise CliError(
            f"{name!r} is no name for a Python module",
            f"Use letters, digits and _, a letter first: {near}.", exit_code=EXIT_USAGE,
        )  # fmt: skip
    why = ""
    if keyword.iskeyword(words) or keyword.issoftkeyword(words):
        why = "is a word of the Python language"
    elif words.startswith("test_") or words == "conftest":
        why = "is what pytest takes for a test"
    elif words in sys.stdlib_module_names or _is_installed(words):
        why = "is the name of an installed module, which it would hide"
    elif words in RESERVED:
        why = "is no strategy's id: it stands for orders of somebody else"
    elif words in TAKEN:
        why = "is what tickbus calls something else"
    if why:
        raise CliError(f"{name!r} {why}", f"Choose another name: my_{words}.", exit_code=EXIT_USAGE)
    parts = [part for part in words.split("_") if part]
    class_name = "".join(part.capitalize() for part in parts)
    return Names("_".join(parts), class_name, "-".join(parts)[:ID_MAX].strip("-"))


def _is_installed(module: str) -> bool:
    here = str(Path.cwd())
    elsewhere = [path for path in sys.path if path not in ("", here)]
    return importlib.machinery.PathFinder.find_spec(module, elsewhere) is not None


def make(names: Names, parent: Path) -> Path:
    """The new folder in `parent`, filled. Raises CliError; nothing that exists is changed."""
    folder = parent.expanduser().resolve() / names.module
    project = _project()
    if project is not None and folder.resolve().is_relative_to(project):
        raise CliError(
            f"{folder} is inside the project of tickbus itself",
            f"Yours lives outside of it: --dir {shlex.quote(str(project.parent))}",
            exit_code=EXIT_USAGE,
        )
    if folder.exists() or folder.is_symlink():
        raise CliError(
            f"{folder} exists already, and nothing is overwritten",
            "Choose another name or --dir.", exit_code=EXIT_USAGE,
        )  # fmt: skip
    contents = _contents(names)
    try:
        folder.mkdir(parents=True)
        for name, content in contents.items():
            with (folder / name).open("xb") as file:
                file.write(content)
    except OSError as error:
        raise CliError(
            f"cannot make {error.filename or folder}: {error.strerror}",
            "Choose a --dir that you may write to.",
        ) from error
    return folder


def _contents(names: Names) -> dict[str, bytes]:
    values = {
        "module": names.module, "class": names.class_name, "id": names.id,
        "commands": _commands(names),
    }  # fmt: skip
    source = resources.files("tickbus_cli") / "templates" / "strategy"
    found: dict[str, bytes] = {}
    for name in TEMPLATES:
        template = Template((source / f"{name}.txt").read_text(encoding="utf-8"))
        made = name.replace("strategy", names.module)
        found[made] = template.substitute(values).encode()
    found["practice.gz"] = practice_capture()
    return found


def _commands(names: Names) -> str:
    tickbus = program("tickbus")
    lines = (
        (program("pytest"), "its story, without a platform"),
        (
            f"{tickbus} replay practice.gz --config config.yaml",
            "on a made-up market, or any capture",
        ),
        (f"{tickbus} up --config config.yaml", "on the simulated exchange; Ctrl-C stops it"),
        (f"{tickbus} strategies stop {names.id}", "switch it off meanwhile; start lets it go on"),
    )
    width = max(len(command) for command, _ in lines)
    return "\n".join(f"{command:<{width}}  # {what}" for command, what in lines)


def program(name: str) -> str:
    """How to call an installed program from anywhere: by its name alone where that finds it."""
    own = Path(sys.executable).parent / name
    if not own.is_file():
        module = "tickbus_cli" if name == "tickbus" else name
        return f"{shlex.quote(sys.executable)} -m {module}"
    found = shutil.which(name)
    return name if found and Path(found).samefile(own) else shlex.quote(str(own))


def _project() -> Path | None:
    """Where the sources of tickbus are, if this is a working copy."""
    parents = Path(__file__).resolve().parents
    return next((p for p in parents if (p / "config" / "default.yaml").is_file()), None)
