"""A strategy with a process of its own has a login of its own, in Compose and in Kubernetes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tickbus.credentials import strategy_user, variable
from tickbus.permissions import StrategyUser

ROOT = Path(__file__).parents[2]
APART = ROOT / "k8s" / "components" / "strategy-momentum"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


BASE, OVER = read(ROOT / "docker-compose.yml"), read(ROOT / "compose.strategies.yml")
CONFIGURED = [entry["id"] for entry in read(ROOT / "config" / "default.yaml")["strategies"]]


def drawn() -> list[StrategyUser]:
    """The users that the container of the passwords is told of."""
    words = OVER["services"]["credentials"]["command"]
    assert words[::2] == ["--strategy"] * (len(words) // 2)
    return [strategy_user(text) for text in words[1::2]]


def test_compose_gives_every_configured_strategy_a_login_and_a_process() -> None:
    assert [user.ids for user in drawn()] == [(name,) for name in CONFIGURED]
    everybody_else = OVER["services"]["strategy"]["environment"]["TICKBUS_STRATEGY_EXCEPT"]
    assert everybody_else.split(",") == CONFIGURED, "none runs twice, and none not at all"


@pytest.mark.parametrize("name", CONFIGURED)
def test_a_process_of_compose_speaks_for_its_strategy_with_its_password_alone(name: str) -> None:
    (user,) = [user.name for user in drawn() if user.ids == (name,)]
    service = OVER["services"][user]
    assert service["extends"] == {"file": "docker-compose.yml", "service": "strategy"}
    assert service["environment"] == {"TICKBUS_NATS_USER": user, "TICKBUS_STRATEGY_ID": name}
    volume, place = f"login-{user}", BASE["services"]["strategy"]["volumes"][0].split(":", 1)[1]
    assert service["volumes"] == [f"{volume}:{place}"], "in the place of that of `strategy`"
    assert f"{volume}:/credentials/{user}" in OVER["services"]["credentials"]["volumes"]
    assert volume in OVER["volumes"]


def test_the_words_for_the_passwords_go_behind_those_of_the_base() -> None:
    credentials = BASE["services"]["credentials"]
    assert credentials["entrypoint"][-2:] == ["write", "/credentials"]
    assert "command" not in credentials


def environment(workload: Any) -> dict[str, Any]:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry for entry in container["env"]}


def test_the_component_gives_the_strategy_and_the_server_the_same_password() -> None:
    documents = yaml.safe_load_all((APART / "strategy.yaml").read_text(encoding="utf-8"))
    (workload,) = [each for each in documents if each["kind"] == "Deployment"]
    own = environment(workload)
    assert own["TICKBUS_NATS_USER"]["value"] == "strategy-momentum"
    assert own["TICKBUS_STRATEGY_ID"]["value"] == "momentum"
    secret = {"secretKeyRef": {"name": "tickbus-nats", "key": "strategy-momentum"}}
    assert own["TICKBUS_NATS_PASSWORD"]["valueFrom"] == secret
    kustomization = read(APART / "kustomization.yaml")
    patches = [
        yaml.safe_load(each["patch"]) for each in kustomization["patches"] if "target" not in each
    ]
    changed = {patch["metadata"]["name"]: environment(patch) for patch in patches}
    assert changed["nats"][variable("strategy-momentum")]["valueFrom"] == secret
    assert changed["strategy"]["TICKBUS_STRATEGY_EXCEPT"]["value"] == "momentum"


def test_but_for_its_name_it_is_the_workload_of_all_strategies() -> None:
    own, base = (
        [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
        for path in (APART / "strategy.yaml", ROOT / "k8s" / "base" / "strategy.yaml")
    )
    renamed = [line.replace("strategy-momentum", "strategy") for line in own]
    extra = ["            - name: TICKBUS_STRATEGY_ID", "              value: momentum"]
    assert [line for line in renamed if line not in extra] == base


def test_the_local_overlay_has_its_password() -> None:
    overlay = read(ROOT / "k8s" / "overlays" / "local-apart" / "kustomization.yaml")
    (secret,) = overlay["secretGenerator"]
    assert (secret["name"], secret["behavior"]) == ("tickbus-nats", "merge")
    (literal,) = secret["literals"]
    assert literal.startswith("strategy-momentum=")
