"""Each vendor's BMC, as published mockups and manuals show it, with what is peculiar to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deployer.core.inventory import Firmware
from deployer.drivers.power.base import BootMethod
from deployer.drivers.redfish import products
from deployer.errors import BootMethodRefused
from tests.support import mockups
from tests.support.bmc import Answer, Asked, FaultyBmc, Rule, refusal
from tests.support.mockups import Resources
from tests.support.power import driver

ISO = "http://10.0.0.5:8081/images/live/live.iso"


def _boot(asked: Asked) -> dict[str, Any]:
    boot = asked.body.get("Boot", {}) if asked.method == "PATCH" else {}
    assert isinstance(boot, dict)
    return boot


def never(name: str) -> Rule:
    """This property of Boot cannot be written."""

    def rule(asked: Asked, bmc: FaultyBmc) -> Answer | None:
        if name in _boot(asked):
            return refusal(400, f"The property {name} is a read only property")
        return None

    return rule


def once_by_itself(asked: Asked, bmc: FaultyBmc) -> Answer | None:
    if "BootSourceOverrideTarget" in _boot(asked):
        bmc.system["Boot"]["BootSourceOverrideEnabled"] = "Once"
    return None


def if_match(asked: Asked, bmc: FaultyBmc) -> Answer | None:
    if asked.method == "PATCH" and "if-match" not in asked.headers:
        return refusal(428, "The request needs an If-Match header")
    return None


def forgets_the_mode(asked: Asked, bmc: FaultyBmc) -> Answer | None:
    if _boot(asked) and "BootSourceOverrideMode" not in _boot(asked):
        bmc.system["Boot"]["BootSourceOverrideMode"] = "Legacy"
    return None


def in_settings_alone(asked: Asked, bmc: FaultyBmc) -> Answer | None:
    if _boot(asked) and not asked.path.endswith("/SD"):
        return refusal(400, "Support of this Operation is moved to FutureState URI")
    return None


def nothing_but_the_image(asked: Asked, bmc: FaultyBmc) -> Answer | None:
    if asked.path.endswith("InsertMedia") and set(asked.body) != {"Image"}:
        return refusal(400, "The property Inserted is not in the list of valid properties")
    return None


def wants_the_protocol(asked: Asked, bmc: FaultyBmc) -> Answer | None:
    if asked.path.endswith("InsertMedia") and "TransferProtocolType" not in asked.body:
        return refusal(400, "The action requires the parameter TransferProtocolType")
    return None


def wants_an_empty_object(asked: Asked, bmc: FaultyBmc) -> Answer | None:
    if asked.path.endswith("EjectMedia") and asked.body != {}:
        return refusal(400, "The request body is not an empty object")
    return None


VENDORS: dict[str, tuple[Callable[[], Resources], list[Rule]]] = {
    "Dell iDRAC 9 and newer": (mockups.dell, [never("HttpBootUri")]),
    "Dell iDRAC 8 and older": (
        mockups.dell_13g,
        [never("BootSourceOverrideEnabled"), once_by_itself],
    ),
    "HPE iLO": (mockups.hpe, [never("BootSourceOverrideMode"), wants_an_empty_object]),
    "Lenovo XCC": (mockups.lenovo, [if_match]),
    "Supermicro": (mockups.supermicro, [forgets_the_mode, nothing_but_the_image]),
    "any other": (mockups.ami, [in_settings_alone]),
    "OpenBMC": (mockups.openbmc, [wants_the_protocol]),
}
every_vendor = pytest.mark.parametrize("name", VENDORS)


def bmc_of(name: str) -> FaultyBmc:
    mockup, rules = VENDORS[name]
    return FaultyBmc(mockup(), rules=tuple(rules))


@every_vendor
@pytest.mark.parametrize("firmware", ["uefi", None])
def test_boots_once_from_the_network_and_restarts(name: str, firmware: Firmware | None) -> None:
    with bmc_of(name) as bmc:
        switch = driver(bmc.settings, firmware=firmware)
        assert switch.boot_once().startswith("the BMC shows Pxe for the next boot")
        assert switch.cycle().startswith("the BMC restarts it (ForceRestart)")
        assert bmc.resets == ["ForceRestart"]
        assert bmc.open_sessions == 0


@every_vendor
def test_no_request_is_refused_on_the_way(name: str) -> None:
    """The table says beforehand what a BMC does not take; asking and being told no is slow."""
    with bmc_of(name) as bmc:
        refused: list[Asked] = []
        answer = bmc.answer

        def watched(asked: Asked) -> Answer:
            given = answer(asked)
            refused.extend([asked] if given.status >= 400 else [])
            return given

        bmc.answer = watched  # type: ignore[method-assign]
        driver(bmc.settings).boot_once()
        driver(bmc.settings).cycle()
        assert refused == []


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("Dell iDRAC 9 and newer", "UefiHttp"),
        ("HPE iLO", "UefiHttp"),
        ("Supermicro", "UefiBootNext Boot0005"),  # the option of the host's own NIC
        ("any other", "UefiHttp from http://10.0.0.5:8081/ipxe.efi"),
    ],
)
def test_uefi_http_boot_as_far_as_the_bmc_knows_it(name: str, target: str) -> None:
    with bmc_of(name) as bmc:
        said = driver(bmc.settings).boot_once(BootMethod.UEFI_HTTP, "http://10.0.0.5:8081/ipxe.efi")
        assert said.startswith(f"the BMC shows {target} for the next boot")


@pytest.mark.parametrize("name", ["Lenovo XCC", "OpenBMC"])
def test_a_bmc_without_uefi_http_boot_says_what_it_has(name: str) -> None:
    with bmc_of(name) as bmc, pytest.raises(BootMethodRefused, match="it offers None, Pxe"):
        driver(bmc.settings).boot_once(BootMethod.UEFI_HTTP)


@pytest.mark.parametrize(
    ("name", "target", "drive"),
    [
        ("Dell iDRAC 9 and newer", "Cd", "1"),
        ("HPE iLO", "Cd", "2"),
        ("Lenovo XCC", "Cd", "EXT1"),
        ("Supermicro", "UsbCd", "CD1"),
        ("OpenBMC", "Cd", "Slot_0"),
    ],
)
def test_virtual_media(name: str, target: str, drive: str) -> None:
    with bmc_of(name) as bmc:
        switch = driver(bmc.settings)
        said = switch.boot_once(BootMethod.VIRTUAL_MEDIA, ISO)
        assert said.startswith(f"the BMC shows {target} for the next boot")
        full = [r for r in bmc.resources.values() if r.get("Inserted")]
        assert [(slot["Id"], slot["Image"]) for slot in full] == [(drive, ISO)]
        assert switch.eject_media() == f"the virtual drive {drive} is empty"
        assert not any(r.get("Inserted") for r in bmc.resources.values())


def test_a_machine_in_legacy_mode_is_led_to_uefi_when_that_is_what_it_runs() -> None:
    with bmc_of("OpenBMC") as bmc:
        driver(bmc.settings, firmware="uefi").boot_once()
        assert bmc.system["Boot"]["BootSourceOverrideMode"] == "UEFI"


def test_supermicro_keeps_its_mode() -> None:
    with bmc_of("Supermicro") as bmc:
        driver(bmc.settings).boot_once()
        assert bmc.system["Boot"]["BootSourceOverrideMode"] == "UEFI"


@every_vendor
def test_the_table_knows_each_by_what_it_says_of_itself(name: str) -> None:
    with bmc_of(name) as bmc:
        about, root = bmc.system, bmc.resources["/redfish/v1"]
        product = f"{root.get('Vendor', '')} {root.get('Product', '')}"
        found = products.find(about["Manufacturer"], about["Model"], product)
        assert found.name == name


def test_every_entry_of_the_table_is_of_use_and_says_where_it_is_from() -> None:
    tried = {*VENDORS, "sushy-tools", "Supermicro, virtual CD as CD"}
    assert {entry.name for entry in products.known()} <= tried
    for entry in products.known():
        assert entry.note and entry.seen and (entry.manufacturer or entry.product), entry.name
    assert products.find("Supermicro", "ARS-111GL-NHR", "").media_targets == ["Cd"]
