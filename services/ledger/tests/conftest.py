"""What the tests of the ledger ask for."""

import pytest

from tickbus_ledger import store, writer
from tickbus_testkit.patience import PATIENCE_S


@pytest.fixture
def patient_books(monkeypatch: pytest.MonkeyPatch, patient_bus: None) -> None:
    """Postgres may take its time to answer, and what is left is written at the stop."""
    monkeypatch.setattr(store, "CONNECT_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(store, "COMMAND_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(writer, "FLUSH_TIMEOUT_S", PATIENCE_S)
