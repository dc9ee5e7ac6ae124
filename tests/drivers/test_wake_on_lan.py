"""Magic packets, as a network card would see them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from deployer.drivers.power.base import PowerState
from deployer.errors import DriverError, DriverRefused, Invalid
from deployer.services import power
from tests.support.power import driver, host


@pytest.fixture
def card() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
        card.bind(("127.0.0.1", 0))
        card.settimeout(5)
        yield card


@pytest.mark.parametrize(
    ("more", "mac"), [({}, "525400123456"), ({"mac": "52-54-00-AA-BB-CC"}, "525400aabbcc")]
)
def test_a_sleeping_card_hears_its_mac(card: socket.socket, more: dict[str, str], mac: str) -> None:
    switch = driver(
        {"driver": "wake_on_lan", "address": "127.0.0.1", "port": card.getsockname()[1], **more}
    )
    assert "a magic packet" in switch.cycle()
    assert card.recv(2000) == b"\xff" * 6 + bytes.fromhex(mac) * 16
    assert switch.state() is PowerState.UNKNOWN


def test_it_goes_to_allowed_networks_alone(card: socket.socket) -> None:
    settings = {"driver": "wake_on_lan", "address": "127.0.0.1", "port": card.getsockname()[1]}
    with pytest.raises(DriverRefused, match="may not be connected to"):
        driver(settings, networks="10.0.0.0/8").cycle()


def test_a_network_without_a_way_is_an_error_that_may_pass() -> None:
    unreachable = {"driver": "wake_on_lan", "address": "2001:db8::1"}
    try:
        said = driver(unreachable, networks="").cycle()
    except DriverError as error:
        assert type(error) is DriverError and "2001:db8::1" in error.message
    else:
        assert "2001:db8::1" in said  # this machine has IPv6, and UDP asks nobody


def test_nothing_can_be_switched_off() -> None:
    with pytest.raises(DriverRefused) as refusal:
        driver({"driver": "wake_on_lan"}).off()
    assert refusal.value.remedy


@pytest.mark.parametrize(
    ("field", "value"), [("address", "somewhere"), ("mac", "01:00:5e:00:00:01"), ("port", 0)]
)
def test_bad_settings_are_named(field: str, value: object) -> None:
    with pytest.raises(Invalid) as refusal:
        power.check(host(driver="wake_on_lan", **{field: value}))
    assert (refusal.value.field, refusal.value.value) == (f"power.{field}", value)
