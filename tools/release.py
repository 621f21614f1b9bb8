"""Makes a release: one version everywhere, wheels, images, lists of parts, checksums, a tag.

    tools/release.py 1.4.0 [--registry HOST/PATH/] [--without-images]

It pushes nothing: it prints what there is to push. It may be repeated after a failure.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import licenses
import sbom
import versions

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("services/api/src/tickbus_api/dashboard/index.html")
MEMBERS = ("libs", "services", "apps")
SUMS = "SHA256SUMS"


class Refused(Exception):
    """No release can be made; the text says why, and what helps."""


def git(root: Path, *words: str) -> str:
    """What git says. Raises Refused."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def notes(changelog: str, version: str) -> str:
    """The section of the changelog on `version`. Raises Refused where there is none."""
    heading = re.compile(rf"^## \[?{re.escape(version)}\]?(?: .*)?$", re.MULTILINE)
    found = heading.search(changelog)
    text = changelog[found.end() :] if found else ""
    text = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not text:
        raise Refused(
            f"CHANGELOG.md says nothing of {version}: turn `## Unreleased` into"
            f" `## {version} - <date>`, and commit that"
        )
    return text


def check(root: Path, version: str) -> str:
    """Refuse what cannot be released; the notes on it otherwise. Raises Refused."""
    if versions.PATTERN.fullmatch(version) is None:
        raise Refused(f"VERSION={version!r} is no version: write three numbers, as in 1.4.0")
    dirty = git(root, "status", "--porcelain")
    if dirty:
        raise Refused(f"the working copy has changes: commit or remove them\n{dirty}")
    if git(root, "tag", "--list", f"v{version}"):
        raise Refused(f"the tag v{version} is there already: what was released is never changed")
    for path, found in versions.stated(root).items():
        if any(_numbers(each) > _numbers(version) for each in found):
            raise Refused(f"{path} is at {found[0]} already: VERSION={version} would go back")
    return notes((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def members(root: Path) -> list[str]:
    """Every member that is built into a wheel."""
    found = [path.parent for folder in MEMBERS for path in root.glob(f"{folder}/*/pyproject.toml")]
    return sorted(str(path.relative_to(root)) for path in found)


def services(root: Path) -> list[str]:
    """Every service, each of which has an image."""
    return [path.rpartition("/")[2] for path in members(root) if path.startswith("services/")]


def wheels(root: Path, into: Path, epoch: str) -> None:
    """Build the wheels of all members; the same sources make the same files."""
    if not (root / PAGE).is_file():
        raise Refused(
            "the dashboard is not built, and the gateway's wheel holds it: make dashboard"
        )
    run(
        root, sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(into),
        *(f"./{member}" for member in members(root)), SOURCE_DATE_EPOCH=epoch,
    )  # fmt: skip


def lists(root: Path, into: Path, version: str, made_at: str) -> None:
    """Write what each image and the dashboard are made of, and hold it against the schema."""
    known = licenses.rules(root)
    parts = {
        f"tickbus-{s}": sbom.of_image(root, s, version, made_at, known) for s in services(root)
    }
    parts["tickbus-dashboard"] = sbom.of_dashboard(root, version, made_at)
    files = []
    for name, each in parts.items():
        file = into / f"{name}-{version}.cdx.json"
        file.write_text(json.dumps(each, indent=1) + "\n", encoding="utf-8")
        files.append(str(file))
    python = Path(sys.prefix) / "release/bin/python"
    if not python.is_file():
        raise Refused(
            f"{python} is missing, which judges the lists of parts: make release makes it"
        )
    run(root, str(python), "tools/sbom.py", "validate", *files)


def sums(folder: Path) -> Path:
    """Write the checksums of all files of `folder`, as `sha256sum --check` reads them."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != SUMS
    ]
    (folder / SUMS).write_text("".join(lines), encoding="ascii")
    return folder / SUMS


def images(root: Path, version: str, registry: str) -> list[str]:
    """Build the images of all services; returns their names."""
    run(
        root, "docker", "buildx", "bake", "--file", "docker-bake.hcl", VERSION=version,
        REGISTRY=registry, REVISION=git(root, "rev-parse", "HEAD"),
    )  # fmt: skip
    return [f"{registry}tickbus-{service}:{version}" for service in services(root)]


def run(root: Path, *words: str, **environment: str) -> None:
    """Run a program, its output on ours. Raises Refused when it fails."""
    try:
        done = subprocess.run(words, cwd=root, env=os.environ | environment, check=False)
    except OSError as error:
        raise Refused(f"{words[0]} does not run: {error.strerror}") from error
    if done.returncode:
        raise Refused(f"{' '.join(words[:3])} ended with {done.returncode}: see above")


def release(root: Path, version: str, registry: str, with_images: bool) -> list[str]:
    """Make it; returns the commands that push it. Raises Refused."""
    said = check(root, version)
    if versions.write(root, version):
        git(root, "commit", "--all", "--message", f"Release {version}")
    seconds = git(root, "log", "-1", "--format=%ct")
    made_at = datetime.fromtimestamp(int(seconds), UTC).isoformat()
    into = root / "dist" / version
    into.mkdir(parents=True, exist_ok=True)
    for old in into.iterdir():
        old.unlink()
    wheels(root, into, seconds)
    lists(root, into, version, made_at)
    (into / "NOTES.md").write_text(said + "\n", encoding="utf-8")
    sums(into)
    names = images(root, version, registry) if with_images else []
    git(root, "tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    branch = git(root, "rev-parse", "--abbrev-ref", "HEAD")
    pushes = [f"git push origin {branch} v{version}"]
    return pushes + [f"docker push {name}" for name in names if registry]


def main(argv: Sequence[str]) -> int:
    """Make a release and say what to push; 1 when it is refused."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--registry", default="", help="where the images will be pushed to")
    parser.add_argument("--without-images", action="store_true", help="wheels and lists alone")
    chosen = parser.parse_args(argv)
    registry = chosen.registry and chosen.registry.rstrip("/") + "/"
    try:
        pushes = release(ROOT, chosen.version, registry, not chosen.without_images)
    except (Refused, versions.VersionError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(f"release: {chosen.version} is in dist/{chosen.version}. To publish it:")
    for line in pushes:
        print(f"  {line}")
    if not registry and not chosen.without_images:
        print("  the images have no registry in their names: REGISTRY=host/path/ puts one there")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
