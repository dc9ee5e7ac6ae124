"""What BMCs of several vendors answer, cut down to power, boot and virtual media.

After published mockups and manuals: DMTF's mockups, the captures in libredfish's tests (Dell R750,
HPE DL385 Gen10+, Lenovo SR670 V2, Supermicro SYS-821GE, AMI in NVIDIA DGX H100), Lenovo's XCC and
TSM REST API guides. Each is a dictionary of path → resource.
"""

from __future__ import annotations

from typing import Any

Resources = dict[str, dict[str, Any]]
_ALLOWED = "@Redfish.AllowableValues"
_ROOT = "/redfish/v1"


def _ref(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def _collection(path: str, members: list[str]) -> Resources:
    return {path: {"Members": [_ref(f"{path}/{each}") for each in members]}}


def _bmc(
    system: str, manager: str, about: dict[str, Any], boot: dict[str, Any],
    resets: list[str] | None, root: dict[str, Any] | None = None,
) -> Resources:  # fmt: skip
    at = f"{_ROOT}/Systems/{system}"
    action: dict[str, Any] = {"target": f"{at}/Actions/ComputerSystem.Reset"}
    if resets is not None:
        action["ResetType" + _ALLOWED] = resets
    return {
        _ROOT: {
            "RedfishVersion": "1.11.0", "Systems": _ref(f"{_ROOT}/Systems"),
            "Links": {"Sessions": _ref(f"{_ROOT}/SessionService/Sessions")}, **(root or {}),
        },
        **_collection(f"{_ROOT}/Systems", [system]),
        at: {
            "Id": system, "PowerState": "On", **about, "Boot": boot,
            "Links": {"ManagedBy": [_ref(f"{_ROOT}/Managers/{manager}")]},
            "Actions": {"#ComputerSystem.Reset": action},
        },
        f"{_ROOT}/Managers/{manager}": {"Id": manager, "FirmwareVersion": "5.10.00"},
    }  # fmt: skip


def _slot(at: str, types: list[str], *, actions: bool = True) -> Resources:
    names = ("InsertMedia", "EjectMedia")
    offered = {f"#VirtualMedia.{n}": {"target": f"{at}/Actions/VirtualMedia.{n}"} for n in names}
    slot = {"Id": at.rpartition("/")[2], "MediaTypes": types, "Image": None, "Inserted": False}
    return {at: {**slot, "Actions": offered} if actions else slot}


def dell() -> Resources:
    """iDRAC 9: LastResetTime, no HttpBootUri; virtual media with the system."""
    found = _bmc(
        "System.Embedded.1", "iDRAC.Embedded.1",
        {"Manufacturer": "Dell Inc.", "Model": "PowerEdge R750", "BiosVersion": "1.8.2",
         "LastResetTime": "2026-01-01T00:00:00+00:00"},
        {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideMode": "UEFI",
         "BootSourceOverrideTarget": "None", "UefiTargetBootSourceOverride": None,
         "BootSourceOverrideTarget" + _ALLOWED: ["None", "Pxe", "Floppy", "Cd", "Hdd", "BiosSetup",
                                                  "Utilities", "UefiTarget", "SDCard", "UefiHttp"]},
        ["On", "ForceOff", "ForceRestart", "GracefulRestart", "GracefulShutdown",
         "PushPowerButton", "Nmi", "PowerCycle"],
        {"Vendor": "Dell", "Product": "Integrated Dell Remote Access Controller"},
    )  # fmt: skip
    at = f"{_ROOT}/Systems/System.Embedded.1"
    found[at]["VirtualMedia"] = _ref(f"{at}/VirtualMedia")
    found |= _collection(f"{at}/VirtualMedia", ["1", "2"])
    for slot in ("1", "2"):
        found |= _slot(f"{at}/VirtualMedia/{slot}", ["CD", "DVD", "USBStick"])
    return found


def dell_13g() -> Resources:
    found = dell()
    found[f"{_ROOT}/Systems/System.Embedded.1"]["Model"] = "PowerEdge R630"
    return found


def hpe() -> Resources:
    """iLO 5: weak ETags, the mode can be read only; virtual media with the manager."""
    found = _bmc(
        "1", "1", {"Manufacturer": "HPE", "Model": "ProLiant DL385 Gen10 Plus v2"},
        {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideMode": "UEFI",
         "BootSourceOverrideTarget": "None", "UefiTargetBootSourceOverride": "None",
         "BootSourceOverrideTarget" + _ALLOWED: ["None", "Cd", "Hdd", "Usb", "SDCard", "Utilities",
             "Diags", "BiosSetup", "Pxe", "UefiShell", "UefiHttp", "UefiTarget"]},
        ["On", "ForceOff", "GracefulShutdown", "ForceRestart", "Nmi", "PushPowerButton",
         "GracefulRestart"],
        {"Vendor": "HPE", "Product": "ProLiant DL385 Gen10 Plus v2"},
    )  # fmt: skip
    found[f"{_ROOT}/Systems/1"]["@odata.etag"] = 'W/"D42DAFD2"'
    media = f"{_ROOT}/Managers/1/VirtualMedia"
    found[f"{_ROOT}/Managers/1"]["VirtualMedia"] = _ref(media)
    found |= _collection(media, ["1", "2"])
    found |= _slot(f"{media}/1", ["Floppy", "USBStick"]) | _slot(f"{media}/2", ["CD", "DVD"])
    return found


def lenovo() -> Resources:
    """XCC: strong ETags, settings that hold the boot order alone, virtual media by PATCH."""
    found = _bmc(
        "1", "1", {"Manufacturer": "Lenovo", "Model": "ThinkSystem SR670 V2",
         "@Redfish.Settings": {"SettingsObject": _ref(f"{_ROOT}/Systems/1/Pending")}},
        {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideMode": "UEFI",
         "BootSourceOverrideTarget": "None",
         "BootSourceOverrideTarget" + _ALLOWED: ["None", "Pxe", "Cd", "Usb", "Hdd", "BiosSetup",
                                                  "Diags", "UefiTarget"]},
        ["On", "Nmi", "GracefulShutdown", "GracefulRestart", "ForceOn", "ForceOff", "ForceRestart"],
        {"Vendor": "Lenovo"},
    )  # fmt: skip
    found[f"{_ROOT}/Systems/1"]["@odata.etag"] = '"2cdc90ea10d2e2d2796f07"'
    found[f"{_ROOT}/Systems/1/Pending"] = {"Boot": {"BootOrder": ["Boot0000", "Boot0001"]}}
    media = f"{_ROOT}/Managers/1/VirtualMedia"
    found[f"{_ROOT}/Managers/1"]["VirtualMedia"] = _ref(media)
    found |= _collection(media, ["Remote1", "RDOC1", "EXT1"])
    for slot in ("Remote1", "RDOC1", "EXT1"):
        found |= _slot(f"{media}/{slot}", ["CD", "DVD", "Floppy", "USBStick"], actions=False)
    found[f"{media}/EXT1"]["@odata.etag"] = '"3d7b8a7360bf272941d"'
    return found


def supermicro() -> Resources:
    """X13: ResetType in an ActionInfo, no UefiHttp but UefiBootNext, boot options by name."""
    at = f"{_ROOT}/Systems/1"
    found = _bmc(
        "1", "1", {"Manufacturer": "Supermicro", "Model": "SYS-821GE-TNHR", "BiosVersion": "1.3"},
        {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideMode": "UEFI",
         "BootSourceOverrideTarget": "None", "BootNext": "",
         "BootOptions": _ref(f"{at}/BootOptions"),
         "BootSourceOverrideTarget" + _ALLOWED: ["None", "Pxe", "Floppy", "Cd", "Usb", "Hdd",
                                                  "BiosSetup", "UsbCd", "UefiBootNext"]},
        None,
    )  # fmt: skip
    found[at]["Actions"]["#ComputerSystem.Reset"]["@Redfish.ActionInfo"] = f"{at}/ResetActionInfo"
    found[f"{at}/ResetActionInfo"] = {
        "Parameters": [{
            "Name": "ResetType", "Required": True, "DataType": "String",
            "AllowableValues": ["On", "ForceOff", "GracefulShutdown", "GracefulRestart",
                                "ForceRestart", "Nmi", "ForceOn", "PowerCycle"],
        }],
    }  # fmt: skip
    names = {
        "Boot0003": "(B44/D0/F0) UEFI PXE IPv4 Nvidia Network Adapter - 94:6D:AE:91:09:C2",
        "Boot0004": "(B44/D0/F0) UEFI HTTP IPv4 Nvidia Network Adapter - 94:6D:AE:91:09:C2",
        "Boot0005": "(B64/D0/F0) UEFI HTTP IPv4 Nvidia Network Adapter - 52:54:00:12:34:56",
    }
    found |= _collection(f"{at}/BootOptions", list(names))
    for reference, name in names.items():
        found[f"{at}/BootOptions/{reference}"] = {
            "BootOptionReference": reference, "DisplayName": name,
        }  # fmt: skip
    media = f"{_ROOT}/Managers/1/VirtualMedia"
    found[f"{_ROOT}/Managers/1"]["VirtualMedia"] = _ref(media)
    return found | _collection(media, ["CD1"]) | _slot(f"{media}/CD1", ["CD", "DVD"])


def ami() -> Resources:
    """MegaRAC (DGX H100, ASRock Rack, Lenovo TSM): the override is taken in the settings alone."""
    at = f"{_ROOT}/Systems/DGX"
    boot = {
        "BootNext": None, "BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideMode": None,
        "BootSourceOverrideMode" + _ALLOWED: ["UEFI"], "BootSourceOverrideTarget": "None",
        "BootSourceOverrideTarget" + _ALLOWED: ["None", "Pxe", "Cd", "Hdd", "BiosSetup", "UefiHttp",
                                                 "UefiBootNext"],
        "HttpBootUri": None,
    }  # fmt: skip
    found = _bmc(
        "DGX", "BMC", {"Manufacturer": "NVIDIA", "Model": "DGXH100",
         "@Redfish.Settings": {"SettingsObject": _ref(f"{at}/SD")}},
        {**boot}, ["ForceRestart", "On", "ForceOff", "GracefulShutdown"],
        {"Vendor": "AMI", "Product": "AMI Redfish Server"},
    )  # fmt: skip
    found[f"{at}/SD"] = {"Boot": {**boot}, "@odata.etag": '"1700510035"'}
    return found


def openbmc() -> Resources:
    """bmcweb on a machine with Legacy and UEFI."""
    found = _bmc(
        "system", "bmc", {"Manufacturer": "Quanta", "Model": "S7Q"},
        {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideMode": "Legacy",
         "BootSourceOverrideMode" + _ALLOWED: ["Legacy", "UEFI"],
         "BootSourceOverrideTarget": "None",
         "BootSourceOverrideTarget" + _ALLOWED: ["None", "Pxe", "Hdd", "Cd", "Diags", "BiosSetup",
                                                  "Usb"]},
        None, {"Product": "OpenBMC"},
    )  # fmt: skip
    at = f"{_ROOT}/Systems/system"
    found[at]["Actions"]["#ComputerSystem.Reset"]["@Redfish.ActionInfo"] = f"{at}/ResetActionInfo"
    found[f"{at}/ResetActionInfo"] = {
        "Parameters": [{
            "Name": "ResetType",
            "AllowableValues": ["On", "ForceOff", "ForceOn", "ForceRestart", "GracefulRestart",
                                "GracefulShutdown", "PowerCycle", "Nmi"],
        }],
    }  # fmt: skip
    media = f"{_ROOT}/Managers/bmc/VirtualMedia"
    found[f"{_ROOT}/Managers/bmc"]["VirtualMedia"] = _ref(media)
    found |= _collection(media, ["Slot_2", "Slot_0"])
    found |= _slot(f"{media}/Slot_2", ["CD", "USBStick"], actions=False)  # for its web page
    return found | _slot(f"{media}/Slot_0", ["CD", "USBStick"])
