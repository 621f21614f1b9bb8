"""What the kill switch's tests have in common: patience, and time that passes when they say so."""

from collections.abc import Callable, Sized

import pytest

from tickbus_killswitch import account
from tickbus_killswitch.rest import Deadline
from tickbus_testkit.patience import PATIENCE_S


@pytest.fixture(autouse=True)
def _patient(patient_bus: None) -> None:
    """Nobody gives up a bus that only stands still for a while."""


@pytest.fixture
def over_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sized, int], None]:
    """Lets the time for each step pass with the `n`-th of `asked` since its beginning."""

    def patch(asked: Sized, n: int) -> None:
        class Counted(Deadline):
            def __init__(self, seconds: float) -> None:
                super().__init__(seconds)
                self._end = len(asked) + n

            @property
            def left_s(self) -> float:
                return PATIENCE_S if len(asked) < self._end else 0.0

        monkeypatch.setattr(account, "Deadline", Counted)

    return patch
