"""What docker-compose.yml hands on is what .env.example says, and what the code reads."""

import re
from pathlib import Path
from typing import Any

import code_facts
import opentelemetry.sdk.environment_variables as of_opentelemetry
import pytest
import yaml

from tickbus.config import own_keys
from tickbus.traces.tracer import TELLERS
from tickbus_alerts import channels

ROOT = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "compose.operator.yml", "compose.strategies.yml")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}
SERVICES: dict[str, Any] = yaml.safe_load(TEXTS["docker-compose.yml"])["services"]
EXAMPLE, NOT_FOR_COMPOSE = re.split(
    r"^# --- Not for docker compose.*$",
    (ROOT / ".env.example").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)
OF_COMPOSE_ITSELF = {"COMPOSE_PROFILES"}
ROOTS = {
    "credentials": "writes into volumes that belong to root, and ends",
    "nats-owner": "gives the server's volume to the server's user, and ends",
    "postgres": "its entry point prepares the data as root, then becomes `postgres`",
}
"""Who begins as root, and why."""
WITHOUT_A_CHECK = {
    "credentials": "ends", "nats-owner": "ends", "live": "ends",
    "otel-collector": "nothing in its image could ask", "tempo": "nor in its own, from 2.10 on",
}  # fmt: skip


def offered(text: str) -> set[str]:
    """The variables that a part of .env.example sets, or would if it were uncommented."""
    return set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))


def used(text: str) -> set[str]:
    """The variables that a file of Compose takes from .env."""
    return set(re.findall(r"\$\{(\w+)", text))


def service_of(name: str) -> str:
    """Which of our services a container runs; "" for somebody else's image."""
    found: str = SERVICES[name].get("build", {}).get("args", {}).get("SERVICE", "")
    return found


def tells_of_orders(name: str) -> bool:
    """Whether a container runs a service that sends traces."""
    return service_of(name) in TELLERS and WITHOUT_A_CHECK.get(name) != "ends"


def is_read(service: str, key: str) -> bool:
    """Whether the code of `service` reads the variable, as it is or from a file."""
    if hasattr(of_opentelemetry, key):
        return True
    if service == "alerts" and channels.VARIABLE.fullmatch(key):
        return True
    plain = key.removesuffix("_FILE")
    of_a_venue = rf"TICKBUS_{own_keys('sim2')}_API_(KEY|SECRET)"
    if re.fullmatch(of_a_venue, plain):
        return service in code_facts.users_of("venue_keys")
    return plain in code_facts.variables(service)


def test_the_example_has_variables_of_both_kinds() -> None:
    assert {"TICKBUS_VENUE_API_KEY", "TICKBUS_VENUE_API_KEY_FILE"} <= offered(EXAMPLE)
    assert "TICKBUS_NATS_URL" in offered(NOT_FOR_COMPOSE)


def test_compose_takes_every_variable_of_the_example_and_no_other() -> None:
    taken = {name for text in TEXTS.values() for name in used(text)}
    assert offered(EXAMPLE) - OF_COMPOSE_ITSELF == taken
    assert offered(NOT_FOR_COMPOSE) & taken == set()


def test_every_variable_of_the_page_on_traces_is_handed_on_to_who_tells_of_orders() -> None:
    page = (ROOT / "docs" / "tracing.md").read_text(encoding="utf-8")
    names = set(re.findall(r"\bOTEL_\w+", page))
    assert len(names) > 8
    assert names <= offered(EXAMPLE)
    for name in SERVICES:
        if tells_of_orders(name):
            assert names <= SERVICES[name]["environment"].keys(), name


@pytest.mark.parametrize("name", [name for name in SERVICES if service_of(name)])
def test_every_variable_that_compose_sets_is_one_that_the_service_reads(name: str) -> None:
    for key in SERVICES[name].get("environment", {}):
        assert is_read(service_of(name), key), f"{name} is given {key}, which nobody reads"


def test_a_variable_that_nobody_reads_would_be_noticed() -> None:
    assert is_read("api", "TICKBUS_ADMIN_PASSWORD_FILE")
    assert is_read("killswitch", "TICKBUS_SIM2_API_SECRET_FILE")
    assert not is_read("feed", "TICKBUS_SIM2_API_SECRET")
    assert not is_read("api", "TICKBUS_ALERTS_SLACK")
    assert not is_read("api", "TICKBUS_ADMIN_PASSWORT_FILE")
    assert not is_read("risk", "OTEL_TRACES_SAMPLER_ARGS")


def test_each_file_with_a_secret_is_mounted_where_its_variable_is_set_and_nowhere_else() -> None:
    sources = yaml.safe_load(TEXTS["docker-compose.yml"])["secrets"]
    variables = {name: used(source["file"]).pop() for name, source in sources.items()}
    assert set(variables.values()) == {
        name for name in offered(EXAMPLE)
        if name.endswith("_FILE") or name == "OTEL_EXPORTER_OTLP_CERTIFICATE"
    }  # fmt: skip
    for secret, source in sources.items():
        assert source["file"] == f"${{{variables[secret]}:-/dev/null}}"
    for name, service in SERVICES.items():
        told = {
            key: value for key, value in service.get("environment", {}).items()
            if key in variables.values() and "OTEL" not in key
        }  # fmt: skip
        mounted = set(service.get("secrets", ())) - {"otlp_certificate"}
        assert mounted == {secret for secret, key in variables.items() if key in told}, name
        for key, value in told.items():
            secret = key.removeprefix("TICKBUS_").removesuffix("_FILE").lower()
            assert value == f"${{{key}:+/run/secrets/{secret}}}"
        tells = "otlp_certificate" in service.get("secrets", ())
        assert tells == tells_of_orders(name), name


def test_none_is_root_but_those_with_a_reason() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE) == ["10001:10001"]
    for name, service in SERVICES.items():
        user = str(service.get("user", "10001:10001" if service_of(name) else "0:0"))
        assert user.startswith("0:") == (name in ROOTS), f"{name}: {user}"


def test_all_have_limits_no_capabilities_and_a_file_system_that_they_cannot_write() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert bool(service.get("cap_add")) <= (name in ROOTS), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name


def test_all_say_whether_they_are_healthy_but_those_that_cannot() -> None:
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name, service in SERVICES.items():
        own = service.get("healthcheck", {"test": "the image's"} if service_of(name) else {})
        assert bool(own.get("test")) == (name not in WITHOUT_A_CHECK), name
