"""Commands that tests run in their own process are patient: it may stand still for seconds."""

import pytest

from tickbus_cli import asking, live, resume
from tickbus_cli.doctor import venues
from tickbus_client import Client, streams
from tickbus_testkit.patience import PATIENCE_S


@pytest.fixture(autouse=True)
def _patient(patient_bus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who would answer is given up."""
    monkeypatch.setitem(vars(Client)["__init__"].__kwdefaults__, "timeout_s", PATIENCE_S)
    for module, name in (
        (asking, "ASK_TIMEOUT_S"),
        (live, "TIMEOUT_S"),
        (resume, "TIMEOUT_S"),
        (streams, "OPEN_S"),
        (streams, "SILENCE_S"),
        (venues, "WAIT_S"),
    ):
        monkeypatch.setattr(module, name, PATIENCE_S)
