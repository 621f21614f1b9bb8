"""Files with secrets: there, not empty, and for nobody's eyes but their owner's."""

import stat
from collections.abc import Mapping
from pathlib import Path

from tickbus_cli.doctor.finding import Finding, bad, ok, skipped, warning

OTHERS = stat.S_IRWXG | stat.S_IRWXO
ENTERED = stat.S_IXGRP | stat.S_IXOTH
_WORDS = ("KEY", "SECRET", "PASSWORD", "TOKEN", "ALERTS_")


def files(environment: Mapping[str, str], directory: Path, dotenv: Path) -> list[Finding]:
    """The files that variables name, those of the platform on `directory`, and `.env`."""
    found: list[Finding] = []
    for variable, name in sorted(environment.items()):
        if variable.startswith("TICKBUS_") and variable.endswith("_FILE") and name:
            found += _named(variable, Path(name))
    kept = directory / "credentials"
    if kept.is_dir():
        for path in (kept, *sorted(kept.iterdir())):
            found += _private(str(path), path)
    if dotenv.is_file() and _holds_secrets(dotenv):
        found += _private(str(dotenv), dotenv)
    worse = [each for each in found if each.remedy]
    if worse:
        return worse
    if not found:
        return [skipped("credentials", "no file with secrets is in use")]
    return [ok("credentials", f"{len(found)} files, for their owner alone")]


def _named(variable: str, path: Path) -> list[Finding]:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        return [bad(variable, f"{path}: {reason}", "name a file that this user can read")]
    if not text:
        return [bad(variable, f"{path} is empty", "write the secret into it")]
    # Where another user reads it for Compose, its directory is closed instead.
    if not path.absolute().parent.stat().st_mode & ENTERED:
        return [ok(variable, str(path))]
    return _private(variable, path)


def _private(check: str, path: Path) -> list[Finding]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return [bad(check, f"{path}: {error.strerror}", "look as the user who owns it")]
    if mode & OTHERS:
        wanted = "700" if stat.S_ISDIR(mode) else "600"
        says = f"{path} is open to others (mode {stat.S_IMODE(mode):o})"
        return [warning(check, says, f"chmod {wanted} {path}")]
    return [ok(check, str(path))]


def _holds_secrets(dotenv: Path) -> bool:
    try:
        lines = dotenv.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return True
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return any(value.strip() and any(w in name for w in _WORDS) for name, _, value in pairs)
