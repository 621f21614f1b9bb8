"""The command itself, on a copy of this repository: wheels, lists of parts, checksums and a tag."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import release
from licenses import ROOT

VERSION = "999.0.0"
JUDGE = Path(sys.prefix) / "release/bin/python"
NAMES = {
    f"GIT_{who}_{what}": "a@example.com"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}

pytestmark = [pytest.mark.slow(30), pytest.mark.timeout(300)]


def run(root: Path, *words: str) -> str:
    """What a program says. Raises AssertionError with that when it fails."""
    done = subprocess.run(
        words, cwd=root, capture_output=True, text=True, timeout=240, check=False,
        env=os.environ | NAMES,
    )  # fmt: skip
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as it is here, committed, with something to say of a new version."""
    if not JUDGE.is_file():
        pytest.skip("what judges the lists of parts is not installed: make audit")
    if not (ROOT / release.PAGE).is_file():
        pytest.skip("the dashboard is not built: make dashboard")
    root = tmp_path / "copy"
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    page = release.PAGE.parent
    shutil.copytree(ROOT / page, root / page, dirs_exist_ok=True)
    changelog = root / "CHANGELOG.md"
    said = f"\n## {VERSION} - 2030-01-02\n\n- Time travel.\n\n## "
    changelog.write_text(changelog.read_text().replace("\n## ", said, 1))
    run(root, "git", "init", "--quiet", "--initial-branch", "main")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "Begin")
    return root


def test_release_without_images_is_whole_and_its_lists_hold(copy: Path) -> None:
    said = run(copy, sys.executable, "tools/release.py", VERSION, "--without-images")
    assert f"git push origin main v{VERSION}" in said
    made = copy / "dist" / VERSION
    files = {path.name: path for path in made.iterdir()}
    wheels = [path for path in files.values() if path.suffix == ".whl"]
    assert len(wheels) == len(release.members(copy))
    assert {path.name.split("-")[1] for path in wheels} == {VERSION}
    (gateway,) = [path for path in wheels if path.name.startswith("tickbus_api-")]
    assert "tickbus_api/dashboard/index.html" in zipfile.ZipFile(gateway).namelist()
    lists = {f"tickbus-{name}" for name in (*release.services(copy), "dashboard")}
    assert {name for name in files if name.endswith(".cdx.json")} == {
        f"{name}-{VERSION}.cdx.json" for name in lists
    }
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].read_text().splitlines())
    assert sums == {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if name != "SHA256SUMS"
    }
    assert files["NOTES.md"].read_text() == "- Time travel.\n"
    assert run(copy, "git", "describe", "--exact-match").strip() == f"v{VERSION}"
    assert not run(copy, "git", "status", "--porcelain")
    _is_held_to_the_schema(copy, files[f"tickbus-risk-{VERSION}.cdx.json"])


def _is_held_to_the_schema(copy: Path, file: Path) -> None:
    """By the check that the command makes, which refuses a list that is broken."""
    words = [str(JUDGE), "tools/sbom.py", "validate", str(file)]
    run(copy, *words)
    parts = json.loads(file.read_text())
    assert parts["components"]
    parts["components"][0].pop("name")
    file.write_text(json.dumps(parts))
    with pytest.raises(AssertionError, match="sbom: "):
        run(copy, *words)
