"""The commands in docs/api.md, given to a gateway that runs: each is understood."""

import re
import shlex
from pathlib import Path

import httpx
import pytest
from test_api_schema import a_running_gateway

GUIDE = Path(__file__).parents[3] / "docs" / "api.md"
COMMANDS = re.findall(r"^curl .*$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)


class Command:
    """A command of curl, as far as the guide uses it."""

    def __init__(self, line: str) -> None:
        words = shlex.split(line)[1:]
        self.method, self.body, self.headers, self.url = "GET", "", {}, ""
        while words:
            match words.pop(0):
                case "-s":
                    pass
                case "-o":
                    words.pop(0)
                case "-X":
                    self.method = words.pop(0)
                case "-d":
                    self.body = words.pop(0)
                case "-H":
                    name, _, value = words.pop(0).partition(": ")
                    self.headers[name] = value
                case url:
                    assert not self.url, f"{url!r} is an option that this test does not know"
                    self.url = url

    def send(self, port: int) -> httpx.Response:
        """The answer of the gateway on `port`."""
        url = self.url.replace("localhost:8080", f"http://127.0.0.1:{port}")
        return httpx.request(
            self.method, url, content=self.body, headers=self.headers, timeout=90, trust_env=False
        )


def test_every_command_of_the_guide_is_understood() -> None:
    assert len(COMMANDS) > 20
    with a_running_gateway() as port:
        answers = {line: Command(line).send(port) for line in COMMANDS}
    wrong = [
        f"{line}\n  {a.status_code} {a.text}" for line, a in answers.items() if not a.is_success
    ]
    assert not wrong, "\n".join(wrong)


def test_option_that_nobody_knows_is_not_passed_over() -> None:
    with pytest.raises(AssertionError, match="--fail"):
        Command("curl localhost:8080/health --fail")
