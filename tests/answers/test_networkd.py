"""systemd-networkd's files: what is made of NICs, and which file means which device."""

from __future__ import annotations

import json
from configparser import ConfigParser
from typing import Any

import pytest
from pydantic import ValidationError

from deployer.answers import prepare
from deployer.core.network import Network
from tests import golden

IMAGE = golden.found("image")
FIRST, SECOND, THIRD = (f"52:54:00:12:34:{n}" for n in (56, 57, 58))


class _Unit(ConfigParser):
    """A unit file: keys keep their case; of an option written twice the last is kept."""

    def __init__(self, text: str) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=["="])
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read_string(text)


def units(*interfaces: dict[str, Any]) -> dict[str, _Unit]:
    """Its files by name, without the common beginning."""
    host = {
        "name": "web01", "macs": [FIRST, SECOND, THIRD], "network": {"interfaces": interfaces}
    }  # fmt: skip
    values = golden.context_of(golden.snapshot(IMAGE, host, {"name": "web"}))
    plan = json.loads(prepare.answers(IMAGE, values)["plan.json"])
    files = {f["path"]: f["content"] for f in plan["system"]["files"]}
    start = "/etc/systemd/network/10-deployer-"
    return {p.removeprefix(start): _Unit(c) for p, c in files.items() if p.startswith(start)}


def bond(*members: str, **more: Any) -> dict[str, Any]:
    return {"name": "bond0", "bond": {"members": members, **more}}


def vlan(link: str, number: int = 42, **more: Any) -> dict[str, Any]:
    return {"name": f"vlan{number}", "vlan": {"id": number, "link": link}, **more}


@pytest.mark.parametrize(
    ("given", "mode", "miimon"),
    [({}, "802.3ad", "100ms"), ({"mode": "active-backup", "miimon": 0}, "active-backup", "0")],
)
def test_a_bond_is_made_of_its_members(given: dict[str, Any], mode: str, miimon: str) -> None:
    made = units(bond(SECOND, THIRD, **given))
    assert list(made) == ["1.netdev", "1.network", "1-1.network", "1-2.network"]
    device = made["1.netdev"]
    assert dict(device["NetDev"]) == {"Name": "bond0", "Kind": "bond", "MACAddress": SECOND}
    assert dict(device["Bond"]) == {"Mode": mode, "MIIMonitorSec": miimon}
    assert made["1.network"]["Match"]["Name"] == "bond0"
    for file, mac in {"1-1.network": SECOND, "1-2.network": THIRD}.items():
        assert dict(made[file]["Match"]) == {"PermanentMACAddress": mac}
        assert dict(made[file]["Network"]) == {"Bond": "bond0"}


def test_a_bond_has_the_address_that_the_machine_booted_with() -> None:
    assert units(bond(SECOND, FIRST))["1.netdev"]["NetDev"]["MACAddress"] == FIRST


def test_a_tagged_network_is_on_the_entry_of_its_link() -> None:
    made = units(bond(FIRST, SECOND), vlan("bond0"), {"mac": THIRD}, vlan(THIRD, 7))
    assert made["1.network"]["Network"]["VLAN"] == "vlan42"
    assert made["3.network"]["Network"]["VLAN"] == "vlan7"
    assert dict(made["2.netdev"]["NetDev"]) == {"Name": "vlan42", "Kind": "vlan"}
    assert made["2.netdev"]["VLAN"]["Id"] == "42"
    assert not any("tagged" in name for name in made)


def test_a_nic_with_tagged_networks_alone_has_no_address() -> None:
    made = units({"mac": FIRST}, vlan(SECOND, 7, mtu=9000), vlan(SECOND, 8))
    carrier = made["tagged-1.network"]
    assert carrier["Match"]["MACAddress"] == SECOND and carrier["Match"]["Type"] == "ether"
    assert dict(carrier["Link"]) == {"RequiredForOnline": "no", "MTUBytes": "9000"}
    assert carrier["Network"]["DHCP"] == "no" and carrier["Network"]["VLAN"] == "vlan8"


def test_the_nic_that_boots_may_carry_tagged_networks_without_being_named() -> None:
    made = units({"dhcp": True}, vlan(FIRST, 7))
    assert list(made) == ["1.network", "2.netdev", "2.network"]
    assert made["1.network"]["Network"]["VLAN"] == "vlan7"


def test_a_nics_file_is_not_for_what_is_made_of_it() -> None:
    """It has the same MAC."""
    assert dict(units({"mac": FIRST}, vlan(FIRST))["1.network"]["Match"]) == {
        "MACAddress": FIRST, "Type": "ether",
    }  # fmt: skip
    assert dict(units({"mac": FIRST})["1.network"]["Match"]) == {"MACAddress": FIRST}


@pytest.mark.parametrize(("own", "carried"), [(None, "9000"), (9100, "9100")])
def test_what_carries_a_tagged_network_has_its_mtu(own: int | None, carried: str) -> None:
    nic = {"mac": FIRST, **({"mtu": own} if own else {})}
    made = units(nic, vlan(FIRST, mtu=9000))
    assert made["1.network"]["Link"]["MTUBytes"] == carried
    assert made["2.network"]["Link"]["MTUBytes"] == "9000"


def test_a_tagged_network_with_a_larger_mtu_than_its_link_is_refused() -> None:
    nics = [{"mac": FIRST, "mtu": 1500}, vlan(FIRST, mtu=9000)]
    with pytest.raises(ValidationError, match=r"vlan42 has mtu 9000, and its link .* only 1500"):
        Network.model_validate({"interfaces": nics})
