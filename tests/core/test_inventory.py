"""A host as its operator writes it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deployer.core.inventory import HostSpec

MAC = "52:54:00:12:34:56"
HOST = {"name": "web01", "macs": [MAC]}


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": "Web01"}, "name", "lower-case letters"),
        ({"name": "web_01"}, "name", "RFC 1123"),
        ({"name": "-web"}, "name", "RFC 1123"),
        ({"name": "web01."}, "name", "RFC 1123"),
        ({"name": "10.0.0.7"}, "name", "give it a letter"),
        ({"name": "web01\n"}, "name", "RFC 1123"),
        ({"macs": []}, "macs", "at least 1 item"),
        ({"macs": [MAC, "52-54-00-12-34-56"]}, "macs", "twice; write each NIC once"),
        ({"uuid": "4c4c4544"}, "uuid", "dmidecode"),
        ({"labels": {"a b": "x"}}, "labels.a b.[key]", "only letters, digits"),
        ({"labels": {"rack": "a\n1"}}, "labels.rack", "one line of text"),
        ({"local_boot": "kexec"}, "local_boot", "'sanboot'"),
        ({"ssh": {"port": 0}}, "ssh.port", "greater than or equal to 1"),
        ({"state": "ready"}, "state", "Extra inputs"),
        ({"serial": "a\x1b[2J"}, "serial", "one line of text"),
        (
            {"network": {"interfaces": [{"mac": "52:54:00:00:00:09"}]}}, "",
            "network.interfaces names 52:54:00:00:00:09, which is not in macs; add it there",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_a_host_is_said_by_field(
    change: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        HostSpec.model_validate({**HOST, **change})
    first = refusal.value.errors()[0]
    assert ".".join(map(str, first["loc"])).startswith(field)
    assert words in first["msg"]


@pytest.mark.parametrize("name", ["web01", "web-01.example.org", "a", "1a", "a" * 63])
def test_host_names_are_those_of_rfc_1123(name: str) -> None:
    assert HostSpec.model_validate({**HOST, "name": name}).name == name


@pytest.mark.parametrize(
    ("local_boot", "bios", "uefi"),
    [
        ("auto", "auto", "auto"),
        ("sanboot", "sanboot", "sanboot"),
        ({"uefi": "chain"}, "auto", "chain"),
        ({"bios": "exit1", "uefi": "exit"}, "exit1", "exit"),
    ],
    ids=str,
)
def test_the_way_to_the_own_disk_may_differ_by_firmware(
    local_boot: Any, bios: str, uefi: str
) -> None:
    host = HostSpec.model_validate({**HOST, "local_boot": local_boot})
    assert (host.local_boot_method("bios"), host.local_boot_method("uefi")) == (bios, uefi)


def test_a_power_driver_brings_its_own_settings() -> None:
    host = HostSpec.model_validate({**HOST, "power": {"driver": "redfish", "address": "10.0.9.1"}})
    assert host.power.model_dump() == {"driver": "redfish", "address": "10.0.9.1"}
