"""What docker-compose.yml gives the services, by the `.env` beside it."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from dotenv import dotenv_values

from tickbus.config import ConfigError, Settings
from tickbus_cli.doctor.finding import Finding, bad

CONFIG = "TICKBUS_CONFIG"
FILE = "docker-compose.yml"
ENVIRONMENT = "x-environment"
ADDRESSES = "TICKBUS_VENUE"
"""What variables with the addresses of venues begin with."""
_DEFAULT = re.compile(r"\$\{(\w+)(:?)-([^}]*)\}")


def variables(dotenv: Path) -> dict[str, str]:
    """TICKBUS_CONFIG and the addresses of venues, as the services have them in containers.

    Nothing where `dotenv` names no configuration, or no docker-compose.yml is beside it. Raises
    ConfigError for one that is no YAML.
    """
    given = {**{k: v or "" for k, v in dotenv_values(dotenv).items()}, **os.environ}
    file = dotenv.with_name(FILE)
    if not given.get(CONFIG) or not file.is_file():
        return {}
    try:
        read = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    common = (read.get(ENVIRONMENT) if isinstance(read, dict) else None) or {}
    named = {k: str(v) for k, v in common.items() if k.startswith(ADDRESSES)}
    found = {name: _filled(text, given) for name, text in named.items()}
    return {**found, CONFIG: given[CONFIG]}


def _filled(text: str, given: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, also_empty, default = match.groups()
        said = given.get(name)
        return default if said is None or (also_empty and not said) else said

    return _DEFAULT.sub(value, text)


def addresses(settings: Settings) -> Iterator[Finding]:
    """Venues that were to be real, at the address of a container: `.env` leaves out theirs."""
    if settings.platform.mode == "simulated":
        return
    for venue in settings.venues:
        for url in (venue.rest_url, venue.ws_url, venue.ws_api_url):
            host = urlsplit(url).hostname or ""
            if "." not in host and host != "localhost":
                says = f"mode {settings.platform.mode}, at {url}: a simulated exchange"
                remedy = "write its addresses into .env, empty for its own: see .env.example"
                yield bad(f"venue {venue.name}", says, remedy)
                break
