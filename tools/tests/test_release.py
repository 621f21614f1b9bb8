"""A release is made of a clean copy that says what is new, under a version that is new."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import release
import versions
from licenses import ROOT

CHANGES = """# Changelog

## Unreleased

## 9.1.0 - 2030-01-02

### Added

- Time travel.

## 9.0.0
"""
Change = Callable[[Path], None]


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    done = subprocess.run(
        ["git", *who, *words], cwd=root, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with all files that state the version, and a changelog."""
    for variable in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(variable, "a")
    for variable in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(variable, "a@example.com")
    root = tmp_path / "copy"
    for place in versions.places(ROOT):
        (root / place.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / place.path, root / place.path)
    (root / "CHANGELOG.md").write_text(CHANGES)
    (root / ".gitignore").write_text("dist/\n")
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Begin")
    return root


def test_everything_here_states_one_version() -> None:
    found = versions.stated(ROOT)
    assert len({version for each in found.values() for version in each}) == 1, found
    assert len(found) > len(release.members(ROOT))


def test_a_version_is_written_everywhere_and_nothing_else_changes(copy: Path) -> None:
    changed = versions.write(copy, "9.1.0")
    assert {v for each in versions.stated(copy).values() for v in each} == {"9.1.0"}
    assert set(changed) == {place.path for place in versions.places(copy)}
    lines = git(copy, "diff", "--unified=0").splitlines()
    added = [line for line in lines if line.startswith("+") and not line.startswith("+++")]
    removed = [line for line in lines if line.startswith("-") and not line.startswith("---")]
    now = versions.stated(ROOT)[Path("Dockerfile")][0]
    assert [line.replace("9.1.0", now)[1:] for line in added] == [line[1:] for line in removed]
    assert versions.write(copy, "9.1.0") == []


def test_a_place_that_lost_its_version_is_named_before_anything_is_written(copy: Path) -> None:
    (copy / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(versions.VersionError, match="Dockerfile"):
        versions.write(copy, "9.1.0")
    assert "9.1.0" not in git(copy, "diff")


def test_a_clean_copy_with_notes_is_released(copy: Path) -> None:
    assert release.check(copy, "9.1.0") == "### Added\n\n- Time travel."


def a_change(copy: Path) -> None:
    (copy / "Dockerfile").write_text("FROM scratch\n")


def a_new_file(copy: Path) -> None:
    (copy / "more.py").touch()


def a_tag(copy: Path) -> None:
    git(copy, "tag", "v9.1.0")


def nothing(_: Path) -> None: ...


@pytest.mark.parametrize(
    ("version", "change", "why"),
    [
        ("9.1", nothing, "three numbers"),
        ("v9.1.0", nothing, "three numbers"),
        ("9.1.0rc1", nothing, "three numbers"),
        ("", nothing, "three numbers"),
        ("9.1.0", a_change, "has changes"),
        ("9.1.0", a_new_file, "has changes"),
        ("9.1.0", a_tag, "tag v9.1.0 is there already"),
        ("9.2.0", nothing, "CHANGELOG.md says nothing of 9.2.0"),
        ("9.0.0", nothing, "CHANGELOG.md says nothing of 9.0.0"),
        ("0.0.9", nothing, "would go back"),
    ],
)
def test_what_is_refused(copy: Path, version: str, change: Change, why: str) -> None:
    change(copy)
    with pytest.raises(release.Refused, match=why):
        release.check(copy, version)


def test_a_release_is_committed_tagged_summed_and_not_pushed(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wheels(root: Path, into: Path, epoch: str) -> None:
        (into / "a.whl").write_bytes(b"wheel of " + epoch.encode())

    def lists(root: Path, into: Path, version: str, made_at: str) -> None:
        (into / "a.cdx.json").write_text(made_at)

    ran: list[tuple[tuple[str, ...], dict[str, str]]] = []

    def run(root: Path, *words: str, **environment: str) -> None:
        ran.append((words, environment))

    monkeypatch.setattr(release, "wheels", wheels)
    monkeypatch.setattr(release, "lists", lists)
    monkeypatch.setattr(release, "run", run)
    monkeypatch.setattr(release, "services", lambda root: ["feed", "risk"])
    pushes = release.release(copy, "9.1.0", "example.com/x/", True)
    assert pushes == [
        "git push origin main v9.1.0", "docker push example.com/x/tickbus-feed:9.1.0",
        "docker push example.com/x/tickbus-risk:9.1.0",
    ]  # fmt: skip
    head = git(copy, "rev-parse", "HEAD").strip()
    assert git(copy, "rev-parse", "v9.1.0^{commit}").strip() == head
    assert git(copy, "log", "-1", "--format=%s").strip() == "Release 9.1.0"
    ((words, environment),) = ran
    assert words[:3] == ("docker", "buildx", "bake")
    assert environment == {"VERSION": "9.1.0", "REGISTRY": "example.com/x/", "REVISION": head}
    made = copy / "dist" / "9.1.0"
    expected = {
        name: hashlib.sha256((made / name).read_bytes()).hexdigest()
        for name in ("NOTES.md", "a.cdx.json", "a.whl")
    }
    said = (made / "SHA256SUMS").read_text().splitlines()
    assert {line.partition("  ")[2]: line.partition("  ")[0] for line in said} == expected


def test_a_release_that_failed_half_way_may_be_repeated(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise release.Refused("no engine")

    monkeypatch.setattr(release, "wheels", lambda *_: None)
    monkeypatch.setattr(release, "lists", lambda *_: None)
    monkeypatch.setattr(release, "images", fails)
    with pytest.raises(release.Refused):
        release.release(copy, "9.1.0", "", True)
    assert not git(copy, "tag"), "what is not made is not tagged"
    assert release.release(copy, "9.1.0", "", False) == ["git push origin main v9.1.0"]
    assert git(copy, "log", "--format=%s").split("\n")[:2] == ["Release 9.1.0", "Begin"]
