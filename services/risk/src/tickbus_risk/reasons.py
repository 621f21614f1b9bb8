"""Prints the page `docs/denial-reasons.md`, from what each reason means."""

from tickbus.reasons import MEANINGS


def table() -> str:
    """The page, in Markdown."""
    rows = [f"| `{reason}` | {what} | {remedy} |" for reason, (what, remedy) in MEANINGS.items()]
    head = [
        "# Why risk denies an order or a cancel",
        "",
        "Printed by `python -m tickbus_risk.reasons`; a test fails when the two differ.",
        "`detail` of a denial holds `limit=.. value=..`: what was allowed and what was asked for;",
        "where a limit has scopes, `scope=` says whose it is: `global`, `venue:<name>` (the",
        "account there), `strategy:<id>` or `instrument:<id>`.",
        "",
        "| reason | what it means | what to do |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(table())
