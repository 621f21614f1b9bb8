"""Prometheus' own image takes our configuration, and its promtool tests every alert."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
import yaml
from docker.errors import ContainerError
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tickbus_testkit.story import wait_for

OBSERVABILITY = Path(__file__).parents[2] / "observability"
IMAGE = "prom/prometheus:latest"
PORT = 9090


@pytest.fixture
def prometheus(engine: None) -> Iterator[str]:
    """A Prometheus with our files where Compose mounts them; its URL."""
    ready = LogMessageWaitStrategy("Server is ready").with_startup_timeout(60)
    container = (
        DockerContainer(IMAGE, ports=[PORT])
        .with_command("--config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/tmp/data")
        .with_volume_mapping(
            str(OBSERVABILITY / "prometheus.yml"), "/etc/prometheus/prometheus.yml"
        )
        .with_volume_mapping(str(OBSERVABILITY / "rules"), "/etc/prometheus/rules")
        .waiting_for(ready)
    )
    with container:
        yield f"http://{container.get_container_host_ip()}:{container.get_exposed_port(PORT)}"


def promtool(*arguments: str) -> str:
    """What it prints. Raises AssertionError with it when it finds something wrong."""
    try:
        out: bytes = docker.from_env().containers.run(
            IMAGE, list(arguments), entrypoint="promtool", remove=True, stderr=True,
            tmpfs={"/tmp": "mode=1777"}, working_dir="/tmp",
            volumes={str(OBSERVABILITY): {"bind": "/observability", "mode": "ro"}},
        )  # fmt: skip
    except ContainerError as error:
        raise AssertionError(f"promtool {' '.join(arguments)}: {error.stderr!r}") from error
    return out.decode()


def test_its_promtool_takes_the_configuration_and_finds_every_rule(engine: None) -> None:
    said = promtool("check", "config", "/observability/prometheus.yml")
    for path in (OBSERVABILITY / "rules").glob("*.yml"):
        groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        assert f"{sum(len(group['rules']) for group in groups)} rules found" in said


@pytest.mark.parametrize("name", sorted(p.stem for p in (OBSERVABILITY / "tests").glob("*.yml")))
def test_every_alert_fires_when_its_condition_holds(engine: None, name: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", f"/observability/tests/{name}.yml")


def test_it_evaluates_every_rule_without_an_error(prometheus: str) -> None:
    def evaluated() -> list[dict[str, Any]]:
        groups = httpx.get(f"{prometheus}/api/v1/rules", timeout=30).json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []

    rules = wait_for("every rule to be evaluated", evaluated, 60)
    assert {
        rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"
    } == {}
    assert len(rules) > 50
