"""Errors of slowness are excused where the machine stood still, and nowhere else."""

import time

from tickbus_testkit.stillness import LOOK_S, Stillness, watching

ERRORS = {"execution": {"lease_not_renewed": 1, "malformed": 2}, "feed": {"resubscribed": 1}}


def test_without_a_reason_every_error_counts() -> None:
    assert Stillness().blamed(ERRORS) == ERRORS


def test_a_machine_that_stood_still_explains_what_was_late_and_nothing_else() -> None:
    still = Stillness()
    still.longest_s = 5.0
    assert still.blamed(ERRORS) == {"execution": {"malformed": 2}}


def test_who_watches_looks_at_the_clock() -> None:
    began = time.monotonic()
    with watching() as found:
        while not found.longest_s and time.monotonic() < began + 60:
            time.sleep(LOOK_S)
    assert 0 < found.longest_s < time.monotonic() - began, "no longer than all of it took"
