"""The links of a host, each by itself."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.answers.filters.links import host_of, links
from deployer.core.network import Network

A, B, C = "52:54:00:12:34:56", "52:54:00:12:34:57", "52:54:00:12:34:58"


def made(*interfaces: dict[str, Any], **network: Any) -> list[dict[str, Any]]:
    spec = Network.model_validate({"interfaces": list(interfaces), **network})
    return links(spec.model_dump(mode="json"), A)


def test_a_host_that_says_nothing_asks_for_an_address_where_it_boots_from() -> None:
    (nic,) = made()
    assert (nic["mac"], nic["dhcp"], nic["addresses"]) == (A, True, [])


def test_ports_are_nics_without_addresses_and_come_before_their_bond() -> None:
    found = made({"name": "bond0", "bond": {"members": [A, B]}, "addresses": ["10.0.0.7/24"]})
    assert [(link["mac"], link["port_of"]) for link in found] == [
        (A, "bond0"), (B, "bond0"), (None, None),
    ]  # fmt: skip
    assert [link["dhcp"] for link in found] == [False, False, False]
    assert found[2]["members"] == [A, B]


def test_a_link_is_as_wide_as_what_it_carries() -> None:
    found = made(
        {"name": "bond0", "bond": {"members": [A, B]}},
        {"name": "v1", "vlan": {"id": 1, "link": "bond0"}, "mtu": 9000},
        {"name": "v2", "vlan": {"id": 2, "link": C}, "mtu": 4000},
    )
    assert {link["mac"] or link["name"]: link["mtu"] for link in found} == {
        A: 9000, B: 9000, C: 4000, "bond0": 9000, "v1": 9000, "v2": 4000,
    }  # fmt: skip
    assert [link["vlans"] for link in found if link["vlans"]] == [["v2"], ["v1"]]


def test_the_domain_is_searched_where_nothing_else_is_said_and_there_are_addresses() -> None:
    found = made(
        {"mac": A, "search": ["a.example"]},
        {"mac": B, "addresses": ["10.0.0.7/24"]},
        {"mac": C, "dhcp": False},
        domain="corp.example",
    )
    assert [link["search"] for link in found] == [["a.example"], ["corp.example"], []]


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://10.0.0.5:8081/x", "10.0.0.5"), ("http://[2001:db8::1]:80", "2001:db8::1"), ("", "")],
)
def test_a_host_out_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host
