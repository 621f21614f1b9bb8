"""The gateway advises in requests, as it speaks to programs; people at a terminal have commands."""

import re

COMMANDS = {
    "GET /health": "tickbus status",
    "GET /api/v1/status": "tickbus status",
    "GET /api/v1/orders": "tickbus orders",
    "GET /api/v1/orders/{}": "tickbus orders show {}",
    "GET /api/v1/instruments": "tickbus market instruments",
    "GET /api/v1/venues": "tickbus market venues",
    "GET /api/v1/strategies": "tickbus strategies",
    "GET /api/v1/strategies/{}": "tickbus strategies show {}",
    "GET /api/v1/strategy-kinds": "tickbus strategies kinds",
    "PUT /api/v1/strategies/{}": "tickbus strategies start {} --kind KIND --instrument ID",
    "GET /api/v1/users": "tickbus users",
    "PATCH /api/v1/users/{}": "tickbus users recover",
    "GET /api/v1/keys": "tickbus keys",
    "GET /api/v1/dead-letters": "tickbus dead-letters",
    "GET /api/v1/dead-letters?all=true": "tickbus dead-letters --all",
    "GET /api/v1/risk/limits": "tickbus risk limits",
    "GET /api/v1/risk/state": "tickbus risk state",
    "PUT /api/v1/risk/state": "tickbus halt",
    "POST /api/v1/auth/login": "tickbus login USER",
    "POST /api/v1/flatten": "tickbus flatten",
}
"""What does the same at a terminal; {} is one name."""
_REQUEST = re.compile(r"`?((?:GET|PUT|POST|PATCH|DELETE) (/(?:[\w{}./?=-]*[\w}/])?))`?")


def in_commands(text: str) -> str:
    """`text` with a command in the place of each request that has one."""
    return _REQUEST.sub(_command, text)


def _command(found: re.Match[str]) -> str:
    request = found[1]
    if request in COMMANDS:
        return f"`{COMMANDS[request]}`"
    start, _, name = request.rpartition("/")
    command = COMMANDS.get(f"{start}/{{}}")
    return f"`{command.format(name)}`" if command and name else found[0]
