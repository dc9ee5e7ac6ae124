"""Debian's installer is told on its kernel line what it asks before it has its preseed."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.answers import prepare
from tests import golden

MAC, OTHER = "52:54:00:12:34:56", "52:54:00:12:34:57"


def line(network: dict[str, Any] | None = None, name: str = "web01", **profile: Any) -> list[str]:
    found = golden.found("debian")
    host = {"name": name, "macs": [MAC, OTHER], "network": network or {}}
    snapshot = golden.snapshot(found, host, {"name": "web", **profile})
    return [
        str(argument) for argument in prepare.boot(found, golden.context_of(snapshot)).arguments
    ]


def of_netcfg(arguments: list[str]) -> dict[str, str]:
    words = [word.partition("=") for word in arguments if word.startswith("netcfg/")]
    patience = ("link_wait_timeout", "dhcp_timeout")
    return {
        name.removeprefix("netcfg/"): value for name, _, value in words
        if name.removeprefix("netcfg/") not in patience
    }  # fmt: skip


def test_by_dhcp_it_asks_on_the_interface_that_it_booted_from() -> None:
    arguments = line()
    assert "interface=auto" in arguments
    assert "BOOTIF=01-52-54-00-12-34-56" in arguments
    assert of_netcfg(arguments) == {}


def test_a_static_address_is_all_there_before_any_question() -> None:
    nic = {
        "mac": MAC, "addresses": ["2001:db8::7/64", "10.0.0.7/20"], "gateway": "10.0.0.1",
        "dns": ["2001:db8::53", "10.0.0.53", "10.0.0.54"],
    }  # fmt: skip
    assert of_netcfg(line({"interfaces": [nic]})) == {
        "disable_autoconfig": "true", "get_ipaddress": "10.0.0.7", "get_netmask": "255.255.240.0",
        "get_gateway": "10.0.0.1", "get_nameservers": "10.0.0.53", "confirm_static": "true",
    }  # fmt: skip


def test_without_a_router_it_is_told_that_there_is_none() -> None:
    arguments = of_netcfg(line({"interfaces": [{"mac": MAC, "addresses": ["10.0.0.7/24"]}]}))
    assert arguments["get_gateway"] == "none"
    assert "get_nameservers" not in arguments


def test_an_ipv6_address_carries_its_prefix() -> None:
    nic = {"mac": MAC, "addresses": ["2001:db8::7/64"], "gateway": "2001:db8::1"}
    arguments = of_netcfg(line({"interfaces": [nic]}))
    assert arguments["get_ipaddress"] == "2001:db8::7/64"
    assert arguments["get_gateway"] == "2001:db8::1"
    assert "get_netmask" not in arguments


def test_another_nic_that_is_static_does_not_matter_for_installing() -> None:
    assert of_netcfg(line({"interfaces": [{"mac": OTHER, "addresses": ["10.0.0.7/24"]}]})) == {}


@pytest.mark.parametrize(
    ("name", "network", "host", "domain"),
    [
        ("web01", {}, "web01", "localdomain"),
        ("web01.example.org", {}, "web01", "example.org"),
        ("web01.example.org", {"domain": "lab.example.org"}, "web01", "lab.example.org"),
    ],
)
def test_host_and_domain(name: str, network: dict[str, Any], host: str, domain: str) -> None:
    arguments = line(network, name)
    assert f"hostname={host}" in arguments
    assert f"domain={domain}" in arguments


@pytest.mark.parametrize(
    ("locale", "told"), [("de_CH.UTF-8", "de_CH.UTF-8"), ("C.UTF-8", "en_US.UTF-8")]
)
def test_a_locale_without_a_country_would_be_asked_for(locale: str, told: str) -> None:
    assert f"locale={told}" in line(locale=locale)


def test_the_line_is_one_that_a_kernel_takes() -> None:
    """It hands on at most 32 words, and reads 2048 bytes (COMMAND_LINE_SIZE)."""
    nic = {"mac": MAC, "addresses": ["10.0.0.7/20"], "gateway": "10.0.0.1", "dns": ["10.0.0.53"]}
    arguments = line({"interfaces": [nic], "domain": "x" * 60 + ".example.org"})
    assert len(arguments) < 32
    assert len(" ".join(arguments)) < 2048
