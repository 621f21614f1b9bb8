"""Is a strategy what a command line says? Answered where its file may run: without any secret.

To find a strategy its file is imported, and so runs. The launcher holds the keys of venues, so it
asks a process of its own, `python -m tickbus_cli.examining`, which has none of them.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tickbus.config import ConfigError, convert
from tickbus_cli.profile import without_secrets
from tickbus_strategy.finding import find

TIMEOUT_S = 60.0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Whether there is a strategy `kind`, in `folders`, and whether it takes `params`.

    `params` None asks for the kind alone. `where` and `source` name the parameters in an error,
    and `known` are further names that the caller would have taken.
    """

    kind: str
    folders: list[str] = []
    known: list[str] = []
    params: dict[str, Any] | None = None
    where: str = ""
    source: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The name of the class, or what is wrong."""

    name: str = ""
    error: str = ""


Examine = Callable[[Question], str]
"""Gives the name of the class. Raises ConfigError."""


def here(question: Question) -> str:
    """The name of the class, found by importing it into this process. Raises ConfigError."""
    kind = find(question.kind, [Path(folder) for folder in question.folders], question.known)
    if question.params is not None:
        convert(question.params, kind.Params, question.where, question.source)
    return kind.__name__


def apart(environment: Mapping[str, str]) -> Examine:
    """`here`, but in a process that has of `environment` all but what is secret."""
    kept = without_secrets({**os.environ, **environment})

    def examine(question: Question) -> str:
        # As YAML, which is what the strategy's own process will read its parameters from.
        asked = yaml.safe_dump(msgspec.structs.asdict(question))
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "tickbus_cli.examining"], input=asked.encode(),
                env=kept, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ConfigError(
                f"strategy kind {question.kind!r}: was not loaded within {TIMEOUT_S:g} s: what a"
                " file does when it is imported must end"
            ) from None
        try:
            answer = msgspec.json.decode(done.stdout, type=Answer)
        except msgspec.DecodeError:
            raise ConfigError(
                f"strategy kind {question.kind!r}: ended the process that loaded it, with code"
                f" {done.returncode}"
            ) from None
        if answer.error:
            raise ConfigError(answer.error)
        return answer.name

    return examine


def main() -> None:
    """Answer the question on standard input; what the file prints goes to standard error."""
    answers = os.dup(1)
    os.dup2(2, 1)
    question = msgspec.convert(yaml.safe_load(sys.stdin.buffer), Question)
    try:
        answer = Answer(name=here(question))
    except ConfigError as error:
        answer = Answer(error=str(error))
    os.write(answers, msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
