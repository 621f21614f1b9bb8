"""Asking the gateway of a running platform over HTTP; its problems become our errors."""

import argparse
import getpass
from pathlib import Path
from typing import Any

import httpx

from tickbus_cli.errors import CliError
from tickbus_cli.status import find

TIMEOUT_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which platform is meant."""
    parser.add_argument("--api-url", metavar="URL", help="the gateway, instead of the one found")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR",
        help="the platform's data directory (default: the one that runs below .tickbus/)",
    )  # fmt: skip


def actor() -> str:
    """Who does it, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"  # a container may run as nobody who has a name


def ask(
    arguments: argparse.Namespace, method: str, path: str, body: dict[str, Any] | None = None,
    *, timeout_s: float = TIMEOUT_S,
) -> tuple[int, Any]:  # fmt: skip
    """The status and the JSON of an answer. Raises CliError for a problem."""
    url = arguments.api_url or find(arguments.data_dir)[1]["api_url"]
    try:
        with httpx.Client(base_url=url, timeout=timeout_s) as http:
            answer = http.request(method, path, json=body)
            data = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise CliError(
            f"the gateway at {url} does not answer: {reason}",
            "See `tickbus status`, or name another gateway with --api-url.",
        ) from error
    if answer.is_success:
        return answer.status_code, data
    remedy = str(data.get("remedy", "")) if isinstance(data, dict) else ""
    detail = data.get("detail", data) if isinstance(data, dict) else data
    given = f" (given: {data['value']})" if isinstance(data, dict) and "value" in data else ""
    raise CliError(f"{detail}{given}", remedy and f"Remedy: {remedy}.")
