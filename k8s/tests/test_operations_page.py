"""Every command in docs/operations.md is one that exists, and names what exists."""

import argparse
import asyncio
import importlib
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import asyncpg
import pytest
import yaml
from kustomized import K8S, needs_kubectl, overlay

from tickbus import credentials
from tickbus.permissions import StrategyUser
from tickbus_cli import doctor
from tickbus_cli.doctor import place
from tickbus_cli.main import COMMANDS
from tickbus_embedded.postgres import postgres_binary
from tickbus_ledger.migrate import migrate
from tickbus_testkit.brokers import postgres_server

ROOT = K8S.parent
PAGE = ROOT / "docs" / "operations.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
NAMES = "SELECT name FROM schema_version"
SECRETS_OF_OPERATORS = {"postgres-app"}
PODS_OF_OPERATORS = {("pod", "postgres-1"), ("cluster", "postgres"), ("service", "postgres-rw")}


def commands(program: str) -> list[str]:
    """Every command line of `program`: in blocks, and in the text as `code`."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", "").splitlines()]
    prose = re.sub(r"```sh\n.*?```", "", TEXT, flags=re.DOTALL)
    lines += [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", prose)]
    parts = [part.strip() for line in lines for part in re.split(r"\s\|\s|\$\(", line)]
    found = [part for part in parts if part.startswith(f"{program} ")]
    return sorted({re.sub(r"\s+[#<>&].*$", "", part) for part in found})


def test_the_page_has_commands_of_each_kind() -> None:
    assert len(commands("tickbus")) > 20
    assert len(commands("kubectl")) > 10
    assert len(commands("docker compose")) > 5


@pytest.mark.parametrize("line", commands("tickbus"))
def test_a_command_of_ours_is_one_that_the_command_line_takes(line: str) -> None:
    _, name, *rest = shlex.split(line.replace("ANCHOR", "0" * 64))
    module = importlib.import_module(COMMANDS[name].module)
    parser = argparse.ArgumentParser()
    module.configure(parser)
    try:
        parser.parse_args(rest)
    except SystemExit:
        pytest.fail(f"{line}: the command line does not take it")


@needs_kubectl
@pytest.mark.parametrize("line", commands("kubectl"))
def test_what_a_command_of_kubectl_names_is_there(line: str) -> None:
    there = set(PODS_OF_OPERATORS)
    for name in ("local", "production"):
        there |= {(d["kind"].lower(), d["metadata"]["name"]) for d in overlay(name)}
    for kind, name in re.findall(r"\b(deployment|statefulset|service|secret)/([a-z-]+)", line):
        assert (kind, name) in there
    for path in re.findall(r"\b(k8s/[\w/.-]+)", line):
        assert (ROOT / path).exists()
    match = re.search(r"\bsecret generic (\S+)|\b(?:get|patch) secret (\S+)", line)
    if match:
        text = (K8S / "overlays/production/kustomization.yaml").read_text(encoding="utf-8")
        assert (match[1] or match[2]) in text or (match[1] or match[2]) in SECRETS_OF_OPERATORS


@pytest.mark.parametrize("line", commands("docker compose"))
def test_what_a_command_of_compose_names_is_there(line: str) -> None:
    words = shlex.split(line)[2:]
    profiles = {each for one in COMPOSE["services"].values() for each in one.get("profiles", ())}
    while words and words[0].startswith("--"):
        option, value, words = words[0], words[1], words[2:]
        assert option in ("--profile", "--file")
        assert value in profiles if option == "--profile" else (ROOT / value).is_file()
    verb, *rest = words
    assert verb in ("up", "ps", "logs", "exec", "run", "stop", "start", "restart", "down")
    if "--entrypoint" in rest:
        rest = rest[rest.index("--entrypoint") + 2 :]
    # `--scale strategy=3` names a service, too.
    services = [word.partition("=")[0] for word in rest if not word.startswith("-")]
    for service in services[:1] if verb in ("exec", "run") else services:
        assert service in COMPOSE["services"]


def test_what_the_operator_of_compose_opens_is_open_to_this_machine_alone(tmp_path: Path) -> None:
    over = yaml.safe_load((ROOT / "compose.operator.yml").read_text(encoding="utf-8"))["services"]
    found = dict[str, list[str]]()
    for name, changed in over.items():
        assert name in COMPOSE["services"]
        assert changed.keys() == {"ports"}
        found[name] = [re.sub(r"\$\{\w+:-(\d+)\}", r"\1", port) for port in changed["ports"]]
    assert found == {"nats": ["127.0.0.1:4222:4222"], "postgres": ["127.0.0.1:5432:5432"]}
    # Where the page has its password from.
    credentials.write(tmp_path, [StrategyUser()])
    (password,) = re.findall(r"credentials (/credentials/\S+)\)", TEXT)
    [volume] = [
        v for v in COMPOSE["services"]["credentials"]["volumes"] if v.endswith(":/credentials")
    ]
    assert (tmp_path / Path(password).relative_to(volume.partition(":")[2])).is_file()


def blocks_with(line: str) -> list[str]:
    """The blocks of the page that have `line`."""
    return [each for each in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) if line in each]


def test_the_doctor_of_containers_is_given_what_its_checks_need() -> None:
    compose, kubernetes = blocks_with("tickbus doctor --bus")
    for block in (compose, kubernetes):
        for name in ("NATS_URL", "NATS_USER", "NATS_PASSWORD", "POSTGRES_DSN"):
            assert f"TICKBUS_{name}=" in block
    for name in ("CONFIG", "VENUE_API_KEY", "VENUE_API_SECRET", "VENUE_REST_URL"):
        assert f"export TICKBUS_{name}=" in kubernetes
    assert "docker compose" in compose, "it reads the rest in .env"


def test_the_books_of_compose_open_with_the_password_of_its_env_file(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    (asked,) = re.findall(r"tickbus:\$\((sed .*)\)@127", TEXT)
    said = subprocess.run(
        shlex.split(asked), cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
    )
    assert f"POSTGRES_PASSWORD:-{said.stdout.strip()}}}" in str(COMPOSE)


def test_the_doctor_of_a_cluster_looks_at_the_venue_of_its_overlay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks_with("export TICKBUS_CONFIG=")
    (files,) = re.findall(r"export TICKBUS_CONFIG=(\S+)", block)
    (written,) = re.findall(r"/etc/tickbus-overrides/platform.yaml > (\S+)", block)
    (tmp_path / "config").symlink_to(ROOT / "config")
    shutil.copy(K8S / "overlays" / "production" / "platform.yaml", tmp_path / written)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TICKBUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TICKBUS_CONFIG", files)
    parser = argparse.ArgumentParser()
    doctor.configure(parser)
    arguments = parser.parse_args(["--bus", "nats://127.0.0.1:4222"])
    found = place.find(arguments, place.environment())
    assert [venue.rest_url for venue in found.real] == ["https://api.binance.com"]
    assert not found.is_assumed


def options_of(program: str) -> list[str]:
    """What the page tells `program` to do, but whom to ask and of which database."""
    (found,) = set(re.findall(rf"-T postgres {program} (.*?) --?(?:format|dbname)", TEXT))
    return [word for word in shlex.split(found) if word not in ("--username", "tickbus")]


async def test_a_backup_of_the_books_taken_and_restored_as_the_page_says_gives_them_back(
    tmp_path: Path,
) -> None:
    dump = str(tmp_path / "books.dump")
    async with (
        postgres_server() as server,
        asyncpg.create_pool(server.dsn, min_size=1, max_size=1) as pool,
        pool.acquire() as books,
    ):
        await migrate(books)
        before = await books.fetchval(TABLES)
        await books.execute("INSERT INTO schema_version VALUES ('of the backup')")
        ends = {"pg_dump": ["--format", "custom", "--file", dump], "pg_restore": [dump]}
        for program, rest in ends.items():
            words = [*options_of(program), "--dbname", server.dsn, *rest]
            done = await asyncio.create_subprocess_exec(postgres_binary(program), *words)
            assert await asyncio.wait_for(done.wait(), 60) == 0
            if program == "pg_dump":
                await books.execute("DELETE FROM schema_version")
        assert await books.fetchval(TABLES) == before
        assert "of the backup" in {row["name"] for row in await books.fetch(NAMES)}
        assert await migrate(books) == [], "the schema is whole, nothing is applied anew"


def test_the_files_and_pages_that_are_named_are_there() -> None:
    for path in re.findall(r"\b((?:k8s|tools|config|services)/[\w/.-]*\w)", TEXT):
        assert (ROOT / path).exists(), path
    for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)", TEXT):
        target = PAGE.parent / link if link else PAGE
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


def anchors(page: Path) -> set[str]:
    """What can be linked to in a page of Markdown."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_passwords_that_are_made_are_those_that_are_wanted() -> None:
    made = re.search(r"for user in \\\n\s+([a-z ]+); do", TEXT)
    overlaid = (K8S / "overlays/production/kustomization.yaml").read_text(encoding="utf-8")
    wanted = re.search(r"for user in \\\n#\s+([a-z ]+); do", overlaid)
    assert made is not None
    assert wanted is not None
    assert made[1].split() == wanted[1].split()
