"""House rules that no linter knows: sizes, opening sentences and what a core may not call.

Public docstrings are ruff's (rule D) and imports are import-linter's; nothing is checked twice.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

# What import-linter cannot see: builtins and methods that reach outside.
IMPURE_CALLS = frozenset({"print", "open", "input", "breakpoint", "exec", "eval", "id", "hash"})
IMPURE_METHODS = frozenset({"now", "utcnow", "today", "read_text", "write_text", "open"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """One broken rule at one place."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def is_core(path: Path) -> bool:
    """Whether `path` holds a core: `core.py`, or any module of a package named `core`."""
    return path.name == "core.py" or path.parent.name == "core"


def check(path: Path, source: str) -> Iterator[Finding]:
    """Every rule that `source`, the text of `path`, breaks."""
    tree = ast.parse(source, filename=str(path))
    rules = [file_length(source), opening_sentence(tree), function_lengths(tree)]
    if is_core(path):
        rules.append(impurities(tree))
    for rule in rules:
        for line, message in rule:
            yield Finding(str(path), line, message)


def file_length(source: str) -> Iterator[tuple[int, str]]:
    """A file that is too long to read in one sitting."""
    lines = source.count("\n")
    if lines > FILE_LINES_MAX:
        yield 1, f"{lines} lines, more than {FILE_LINES_MAX}: split it by subject"


def opening_sentence(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """A module that does not open with one sentence on one line."""
    if not tree.body:
        return
    docstring = ast.get_docstring(tree)
    if docstring is None:
        yield 1, "no docstring: open the module with one sentence that says what it is for"
    elif not docstring.splitlines()[0].rstrip().endswith((".", "?", "!")):
        yield 1, "the docstring's first line is not one whole sentence"


def function_lengths(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Functions that do more than one thing, measured by their lines."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                message = f"{node.name} has {lines} lines, more than {FUNCTION_LINES_MAX}"
                yield node.lineno, message


def impurities(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What makes a core more than a function of its events."""
    for node in ast.walk(tree):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield node.lineno, "a core never awaits: return an event, let the shell wait"
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield node.lineno, f"a core may not call {name}(): its output must be repeatable"
            case ast.Call(func=ast.Attribute(attr=name)) if name in IMPURE_METHODS:
                yield node.lineno, f"a core may not call .{name}(): time and files are the shell's"


def python_files(root: Path) -> list[Path]:
    """Every Python file that git tracks or would track, relative to `root`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listing = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return [path for name in listing.stdout.splitlines() if (root / (path := Path(name))).is_file()]


def main() -> int:
    """Check the whole repository; 0 when it is tidy."""
    root = Path(__file__).resolve().parent.parent
    files = python_files(root)
    findings = [
        found for path in files for found in check(path, (root / path).read_text(encoding="utf-8"))
    ]
    for finding in findings:
        print(finding)
    print(f"tidy: {len(files)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
