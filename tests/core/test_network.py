"""NICs of the installed system: DHCP or static, each by its MAC."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from deployer.core.network import Interface, Network

A, B = "52:54:00:00:00:01", "52:54:00:00:00:02"


@pytest.mark.parametrize(
    ("nic", "dhcp"),
    [
        ({}, True),
        ({"addresses": ["10.0.0.7/24"]}, False),
        ({"addresses": ["10.0.0.7/24"], "dhcp": True}, True),
        ({"dhcp": False}, False),
    ],
    ids=str,
)
def test_dhcp_unless_an_address_is_given(nic: dict[str, Any], dhcp: bool) -> None:
    assert Interface.model_validate(nic).uses_dhcp is dhcp


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("10.0.0.7/24", "10.0.0.7/24"),
        ("10.0.0.7/255.255.255.0", "10.0.0.7/24"),
        ("2001:DB8:0::7/64", "2001:db8::7/64"),
    ],
)
def test_an_address_has_one_spelling(written: str, stored: str) -> None:
    assert Interface(addresses=[written]).addresses == [stored]


@pytest.mark.parametrize(
    ("nic", "field", "words"),
    [
        ({"addresses": ["10.0.0.7"]}, "addresses.0", "with its prefix length, such as 10.0.0.7/24"),
        ({"addresses": ["10.0.0.7/33"]}, "addresses.0", "10.0.0.7/33"),
        ({"addresses": ["web01/24"]}, "addresses.0", "web01/24"),
        ({"gateway": "10.0.0.x"}, "gateway", "such as 10.0.0.1"),
        ({"dns": ["resolver"]}, "dns.0", "such as 10.0.0.1"),
        ({"search": ["a b"]}, "search.0", "must be a host name"),
        ({"mtu": 100}, "mtu", "greater than or equal to 576"),
        ({"mac": "52:54"}, "mac", "such as 52:54:00:12:34:56"),
        ({"vxlan": 7}, "vxlan", "Extra inputs are not permitted"),
        ({"name": "eth0"}, "", "a NIC is found by its mac"),
        ({"vlan": {"id": 7, "link": "bond0"}}, "", "needs a name"),
        ({"name": "v", "vlan": {"id": 0, "link": "b"}}, "vlan.id", "greater than or equal to 1"),
        ({"name": "far too long a name", "bond": {"members": []}}, "name", "at most 15"),
        (
            {"addresses": ["10.0.0.7/24"], "gateway": "10.0.1.1"}, "",
            "gateway 10.0.1.1 is in none of this interface's networks (10.0.0.0/24);"
            " correct the gateway or the prefix length",
        ),
        ({"gateway": "10.0.1.1"}, "", "(no addresses are set)"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_a_nic_is_said_by_field(
    nic: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        Interface.model_validate(nic)
    first = refusal.value.errors()[0]
    assert ".".join(map(str, first["loc"])) == field
    assert words in first["msg"]


@pytest.mark.parametrize("zone", ["1\nGateway=10.6.6.6", " DNS"])
@pytest.mark.parametrize(
    "nic",
    [
        {"addresses": ["fe80::1%{zone}/64"]},
        {"addresses": ["fe80::7/64"], "gateway": "fe80::1%{zone}"},
        {"dns": ["fe80::1%{zone}"]},
    ],
    ids=["address", "gateway", "dns"],
)
def test_an_address_carries_no_text_of_its_own(nic: dict[str, Any], zone: str) -> None:
    """Python takes anything after `%` for a zone, a line break too; it would end up in a file."""
    filled = {
        field: [v.replace("{zone}", zone) for v in value]
        if isinstance(value, list)
        else value.replace("{zone}", zone)
        for field, value in nic.items()
    }
    with pytest.raises(ValidationError):
        Interface.model_validate(filled)


def test_a_link_local_gateway_needs_no_network() -> None:
    assert Interface(addresses=["2001:db8::7/64"], gateway="fe80::1").gateway == "fe80::1"


@pytest.mark.parametrize(
    ("nics", "words"),
    [
        ([{"mac": A}, {"mac": A.upper()}], "interfaces names one MAC twice"),
        ([{}, {"dhcp": True}], "several entries without a mac; give each its mac"),
    ],
)
def test_every_nic_is_named_once(nics: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Network.model_validate({"interfaces": nics})


def test_one_nic_may_go_without_its_mac() -> None:
    assert len(Network.model_validate({"interfaces": [{"mac": B}, {}]}).interfaces) == 2


C = "52:54:00:00:00:0c"
BOND = {"name": "bond0", "bond": {"members": [A, B]}}


@pytest.mark.parametrize(
    ("interfaces", "message"),
    [
        ([BOND, {"mac": A}], "is a member of a bond"),
        ([BOND, {"name": "bond1", "bond": {"members": [B, C]}}], "must be in one bond"),
        ([BOND, {"name": "bond0", "bond": {"members": [C]}}], "one bond or VLAN twice"),
        ([BOND, {"name": "v", "vlan": {"id": 7, "link": A}}], "name the bond"),
        ([BOND, {"name": "v", "vlan": {"id": 7, "link": "bond1"}}], "no bond of this host (bond0)"),
        ([{"name": "v", "vlan": {"id": 7, "link": "bond1"}}], "(it has none)"),
        ([{"name": "v", "mac": A, "vlan": {"id": 7, "link": B}}], "has no mac of its own"),
    ],
)
def test_what_is_made_of_nics_must_fit_together(
    interfaces: list[dict[str, object]], message: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        Network.model_validate({"interfaces": interfaces})


def test_a_vlan_stands_on_a_bond_or_on_a_nic() -> None:
    vlans = [
        {"name": "a", "vlan": {"id": 7, "link": "bond0"}},
        {"name": "b", "vlan": {"id": 8, "link": "5254.0000.000c"}},
    ]
    network = Network.model_validate({"interfaces": [BOND, *vlans]})
    assert [i.nics() for i in network.interfaces] == [[A, B], [], [C]]
