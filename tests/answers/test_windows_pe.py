"""deployer.js in Windows PE: which disk it writes, what it runs, and what the server hears.

Windows PE is played by tests/support/windows_pe.js, for a real one cannot be had here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.windows import HOST, SECOND
from tests.support.windows_pe import DRIVE, NODE, PROCEED, calls, play

in_windows_pe = pytest.mark.skipif(NODE is None, reason="Node.js plays Windows PE; it is not here")


def failure(done: dict[str, Any]) -> str:
    (body,) = [body for url, body in done["calls"] if url.endswith("/installer_failed")]
    return str(json.loads(body)["message"])


def wrote(done: dict[str, Any]) -> bool:
    return "diskpart" in done["scripts"]


@in_windows_pe
def test_an_installation_runs_from_the_first_call_to_the_restart() -> None:
    done = play()
    assert calls(done) == [
        "installer_started",
        "disks",
        "disks",
        "partitioning",
        "writing",
        "bootloader",
        "configuring",
        "finishing",
        "installer_finished",
    ]
    own = [line for line in done["commands"] if not line.startswith("curl.exe -s -m")]
    assert own[:6] == [
        "diskpart.exe /s X:\\deployer\\diskpart.txt",
        "curl.exe -s -S -f -C - --create-dirs --retry 10 --retry-delay 5 --retry-connrefused"
        ' --speed-limit 1000 --speed-time 60 -o "W:\\deployer\\install.wim"'
        ' "http://10.0.0.5:8081/images/windows-server-2025-x86_64/sources/install.wim"',
        *(
            f"dism.exe /English /Get-ImageInfo /ImageFile:W:\\deployer\\install.wim /Index:{number}"
            for number in (1, 2, 3)
        ),
        "dism.exe /English /Apply-Image /ImageFile:W:\\deployer\\install.wim /Index:2"
        " /ApplyDir:W:\\"
        " /Verify /ScratchDir:W:\\deployer\\",
    ]
    assert own[6] == "W:\\Windows\\System32\\bcdboot.exe W:\\Windows /s S: /f UEFI"
    assert own[-3:] == [
        "dism.exe /English /Image:W:\\ /Add-Driver /Driver:W:\\deployer\\drivers /Recurse",
        "rmdir /s /q W:\\deployer",
        "wpeutil.exe reboot",
    ]
    assert done["stopped"] == "reboot"


@in_windows_pe
def test_the_server_hears_of_every_disk_what_windows_knows() -> None:
    storage = {
        "MSFT_Disk": [
            {
                "Number": 0,
                "BusType": 11,
                "UniqueId": "5000C500A1B2C3D4",
                "UniqueIdFormat": 3,
                "IsReadOnly": False,
            }
        ],
        "MSFT_PhysicalDisk": [{"DeviceId": "0", "MediaType": 4}],
    }
    done = play(storage=storage, partitions=[{"DiskIndex": 0, "Type": "GPT: Basic Data"}])
    (body,) = [body for url, body in done["calls"] if url.endswith("/disks")]
    first, second = json.loads(body)["disks"]
    assert first == {
        "name": "PhysicalDrive0",
        "path": "PhysicalDrive0",
        "size": 100027630080,
        "serial": "S3Z9NB0K",
        "wwn": "0x5000c500a1b2c3d4",
        "model": 'Disk "A"',
        "type": "ssd",
        "transport": "sata",
        "removable": False,
        "read_only": False,
        "contents": ["GPT: Basic Data"],
    }
    assert (second["transport"], second["removable"], second["type"]) == ("usb", True, None)


@in_windows_pe
def test_the_serial_that_windows_gives_an_nvme_disk_is_its_eui() -> None:
    drive = {**DRIVE, "SerialNumber": "0025_3854_91B0_5E2B.", "PNPDeviceID": "SCSI\\DISK&VEN_NVME"}
    done = play(drives=[drive])
    (body,) = [body for url, body in done["calls"] if url.endswith("/disks")]
    (disk,) = json.loads(body)["disks"]
    assert (disk["type"], disk["wwn"]) == ("nvme", "eui.0025385491b05e2b")


@in_windows_pe
def test_the_disk_that_the_server_names_is_the_one_that_is_written() -> None:
    for number in (0, 7):
        done = play(answers={"disks": [200, PROCEED % (number, number)]})
        assert done["scripts"]["diskpart"][:2] == [
            f"select disk {number}",
            "attributes disk clear readonly noerr",
        ]


@in_windows_pe
def test_a_machine_with_bios_gets_an_active_partition() -> None:
    done = play(uefi=False)
    assert done["scripts"]["diskpart"] == [
        "select disk 0",
        "attributes disk clear readonly noerr",
        "online disk noerr",
        "clean",
        "create partition primary size=500",
        'format quick fs=ntfs label="System"',
        "assign letter=S",
        "active",
        "create partition primary",
        "shrink minimum=1024",
        'format quick fs=ntfs label="Windows"',
        "assign letter=W",
        "create partition primary",
        'format quick fs=ntfs label="Recovery"',
        "assign letter=R",
        "set id=27",
    ]
    assert any(line.endswith("/s S: /f BIOS") for line in done["commands"])


NONE = '{"action":"proceed","disks":[]}'
TWO = '{"action":"proceed","disks":[{"name":"PhysicalDrive0"},{"name":"PhysicalDrive1"}]}'
NOTHING_WRITTEN: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"macs": [SECOND]}, "is one of the host's; it has 52:54:00:12:34:57"),
    ({}, {"macs": []}, "it has none"),
    ({"serial": "A1"}, {"serial": "B2"}, "the serial of this machine is B2"),
    (
        {"uuid": "4c4c4544-0044-4810-8058-c4c04f4b3232"},
        {"uuid": "5C4C4544-0044-4810-8058-C4C04F4B3232"},
        "the UUID of this machine is 5C4C4544",
    ),
    ({}, {"answers": {"disks": [500, "no"]}}, "the server does not say which disk"),
    ({}, {"answers": {"disks": [0, ""]}}, "the server does not say which disk"),
    ({}, {"answers": {"disks": [200, NONE]}}, "the server names 0 disks"),
    ({}, {"answers": {"disks": [200, TWO]}}, "the server names 2 disks"),
    ({}, {"no_wmi": True}, "deployer.js broke off: Automation server can't create object"),
]


@in_windows_pe
@pytest.mark.parametrize(("host", "world", "words"), NOTHING_WRITTEN, ids=str)
def test_where_anything_is_unclear_nothing_is_written(
    host: dict[str, Any], world: dict[str, Any], words: str
) -> None:
    done = play({**HOST, **host}, **world)
    assert words in failure(done) and not wrote(done) and done["stopped"] == "reboot"


@in_windows_pe
def test_an_abort_of_the_server_is_not_told_to_it_again() -> None:
    done = play(answers={"disks": [200, '{"action":"abort","reason":"2 disks fit"}']})
    assert calls(done)[-1] == "disks" and not wrote(done) and done["stopped"] == "reboot"


@in_windows_pe
@pytest.mark.parametrize("name", ["installer_started", "progress", "disks"])
def test_a_deployment_that_has_ended_writes_nothing(name: str) -> None:
    done = play(answers={name: [404, ""]})
    assert not wrote(done) and done["stopped"] == "reboot" and calls(done)[-1] in (name, "disks")


@in_windows_pe
def test_a_uuid_in_the_other_byte_order_is_the_same() -> None:
    host = {**HOST, "uuid": "4c4c4544-0044-4810-8058-c4c04f4b3232"}
    assert wrote(play(host, uuid="44454C4C-4400-1048-8058-C4C04F4B3232"))


@in_windows_pe
def test_the_operators_script_runs_before_anything_is_written_and_can_stop_it() -> None:
    profile = {"scripts": {"pre": 'echo "a"\nexit /b 1'}}
    done = play(HOST, profile, fails=["pre.cmd"])
    assert not wrote(done) and failure(done) == "cmd.exe ended with 1"
    assert play(HOST, profile)["scripts"]["pre"] == 'echo "a"\r\nexit /b 1'


FAILURES = [
    ("diskpart.exe", "partitioning"),
    ("install.wim", "retrieving"),
    ("/Apply-Image", "writing"),
    ("bcdboot.exe", "bootloader"),
    ("Panther\\unattend.xml", "configuring"),
    ("/Add-Driver", "configuring"),
]


@in_windows_pe
@pytest.mark.parametrize(("fails", "stage"), FAILURES)
def test_every_step_that_fails_is_told_with_its_stage_and_its_logs(fails: str, stage: str) -> None:
    done = play(fails=[fails])
    (body,) = [body for url, body in done["calls"] if url.endswith("/installer_failed")]
    assert json.loads(body)["stage"] == stage
    assert {"windows-pe.log", "dism.log"} <= set(calls(done))
    assert "installer_finished" not in calls(done) and done["stopped"] == "reboot"


@in_windows_pe
@pytest.mark.parametrize(
    ("images", "words"),
    [
        (
            [["ServerStandard", "Server Core"]],
            "0 images are ServerStandard, Server. The medium holds 1: ServerStandard, Server C",
        ),
        ([["ServerStandard", "Server"]] * 2, "2 images are ServerStandard, Server"),
        ([], "The medium holds none"),
    ],
)
def test_an_edition_that_the_medium_does_not_hold_once_is_no_guess(
    images: list[list[str]], words: str
) -> None:
    assert words in failure(play(images=images))


@in_windows_pe
def test_a_download_that_is_too_short_is_not_applied() -> None:
    done = play(sizes={"sources/install.wim": 5})
    assert failure(done) == "sources/install.wim has 5 bytes, not 4700000000"
    assert not any("/Apply-Image" in line for line in done["commands"])


@in_windows_pe
def test_a_split_image_is_applied_with_all_its_parts() -> None:
    done = play(
        HOST,
        {"release": "server-2019"},
        sizes={"sources/install.swm": 3900000000, "sources/install2.swm": 800000000},
    )
    (line,) = [line for line in done["commands"] if "/Apply-Image" in line]
    assert (
        "/ImageFile:W:\\deployer\\install.swm /SWMFile:W:\\deployer\\install*.swm /Index:2" in line
    )


@in_windows_pe
@pytest.mark.parametrize("named", [True, False])
def test_settings_for_the_offline_image_are_applied_by_us(named: bool) -> None:
    given = {
        "X:\\Windows\\System32\\unattend.xml": '<settings pass="offlineServicing">'
        if named
        else "x"
    }
    applied = [line for line in play(files=given)["commands"] if "/Apply-Unattend:" in line]
    assert len(applied) == named


@in_windows_pe
def test_no_token_is_in_what_a_failure_sends() -> None:
    log = "curl: (22) http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/progress"
    done = play(files={"X:\\deployer\\log.txt": log}, fails=["diskpart.exe"])
    said = [body for url, body in done["calls"] if "installer_failed" in url or "logs" in url]
    assert "TOKEN" not in "".join(said) and "/d/.../progress" in said[0]
