"""Ports that are found free stay free for who asked, whatever else asks at the same time."""

import socket
import subprocess
import sys

import pytest

from tickbus_embedded import EmbeddedError, free_offset, free_port, ports

ASK = "import sys; from tickbus_embedded import free_port; print(free_port(), flush=True); input()"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three ports, so that who asks must meet who asked; below those that other tests are given.

    Those on either side stay claimed: whoever runs these tests at the same time gets none of ours.
    """
    monkeypatch.setattr(ports, "FIRST", 10_000)
    monkeypatch.setattr(ports, "LAST", 15_900)
    first = free_offset([0, 1, 2, 3, 4]) + 1
    for claim in list(ports._claims)[-4:-1]:
        claim.close()
        ports._claims.remove(claim)
    monkeypatch.setattr(ports, "FIRST", first)
    monkeypatch.setattr(ports, "LAST", first + 2)


def test_no_port_is_given_twice() -> None:
    assert {free_port() for _ in range(3)} == set(range(ports.FIRST, ports.LAST + 1))
    with pytest.raises(EmbeddedError, match="No free port was found between"):
        free_port()


def test_another_process_is_not_given_what_is_ours_until_we_end() -> None:
    narrow = f"from tickbus_embedded import ports; ports.FIRST = ports.LAST = {ports.FIRST};"
    command = [sys.executable, "-c", narrow + ASK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert int(other.stdout.readline()) == ports.FIRST
        assert {free_port(), free_port()} == {ports.FIRST + 1, ports.FIRST + 2}
        other.communicate(b"\n", timeout=60)
    assert free_port() == ports.FIRST


def test_a_port_with_a_listener_is_not_given() -> None:
    with socket.create_server(("127.0.0.1", ports.FIRST)):
        assert {free_port(), free_port()} == {ports.FIRST + 1, ports.FIRST + 2}


def test_an_offset_suits_all_ports_or_none_is_claimed() -> None:
    with socket.create_server(("127.0.0.1", ports.FIRST + 2)):
        with pytest.raises(EmbeddedError, match="No free port"):
            free_offset([10, 12])
        assert free_offset([10, 11]) == ports.FIRST - 10
    with pytest.raises(EmbeddedError, match="No free port"):
        free_offset([10, 12])
    assert free_port() == ports.LAST


def test_the_oldest_claims_are_let_go_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CLAIMS_MAX", len(ports._claims) + 1)
    held = len(ports._claims)
    for _ in range(3):
        free_port()
    assert len(ports._claims) == held + 1
