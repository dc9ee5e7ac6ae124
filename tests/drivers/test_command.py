"""A program of the operator's own, run for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deployer.drivers.power.base import BootMethod, PowerDriver, PowerState, Product
from deployer.errors import BootMethodRefused, DriverError, DriverRefused, DriverUnclear, Invalid
from deployer.services import power
from tests.support.power import SECRET, driver, host


class Pdu:
    """Programs in a folder as DATA_DIR/power.d is one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "power.d"
        self.folder.mkdir(mode=0o755)

    def program(self, script: str, name: str = "pdu", mode: int = 0o755) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / name).chmod(mode)

    def driver(self, **settings: Any) -> PowerDriver:
        given = {"driver": "command", "program": "pdu", **settings}
        return driver(given, programs=self.folder, firmware="uefi")


@pytest.fixture
def pdu(tmp_path: Path) -> Pdu:
    return Pdu(tmp_path)


def test_it_hears_the_act_the_host_and_the_values(pdu: Pdu, tmp_path: Path) -> None:
    pdu.program(
        f'python3 -c "import os, sys, json; json.dump([sys.argv[1:], dict(os.environ),'
        f" sys.stdin.read()], open('{tmp_path}/heard', 'w'))\" \"$@\"; echo done"
    )
    switch = pdu.driver(
        values={"outlet": "7; reboot"}, password={"secret": "pdu"}, methods=["uefi_http"]
    )
    assert switch.boot_once(url="http://10.0.0.5:8081/ipxe.efi") == "done"
    arguments, environment, given = json.loads((tmp_path / "heard").read_text())
    assert arguments == ["boot_once", "uefi_http", "http://10.0.0.5:8081/ipxe.efi"]
    assert given == f"{SECRET}\n" and SECRET not in str(environment)
    ours = {k: v for k, v in environment.items() if k.startswith(("DEPLOYER_", "POWER_"))}
    assert ours == {
        "DEPLOYER_HOST": "web01", "DEPLOYER_MACS": "52:54:00:12:34:56", "DEPLOYER_UUID": "",
        "DEPLOYER_SERIAL": "", "DEPLOYER_FIRMWARE": "uefi", "POWER_OUTLET": "7; reboot",
    }  # fmt: skip


def test_it_sees_nothing_of_our_own_environment(pdu: Pdu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER_DATABASE_URL", "postgresql://u:secret@db/x")
    pdu.program("env | grep -c DATABASE_URL || true")
    assert pdu.driver().off() == "0"


def test_what_it_prints_is_the_answer(pdu: Pdu) -> None:
    pdu.program('case "$1" in state) echo on;; product) printf "APC\\nAP7900\\n3.9\\n";; esac')
    switch = pdu.driver()
    assert switch.state() is PowerState.ON
    assert switch.product() == Product("APC", "AP7900", "3.9")
    assert switch.cycle() == "pdu did it: cycle"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(1, DriverError), (127, DriverError), (3, DriverRefused), (4, DriverUnclear)],
)
def test_its_exit_status_says_what_may_be_done(
    pdu: Pdu, status: int, kind: type[DriverError]
) -> None:
    pdu.program(f"echo no such outlet >&2; exit {status}")
    with pytest.raises(DriverError, match="no such outlet") as error:
        pdu.driver().cycle()
    assert type(error.value) is kind


def test_a_way_to_boot_that_it_does_not_have_leaves_others(pdu: Pdu) -> None:
    pdu.program("exit 3")
    with pytest.raises(BootMethodRefused):
        pdu.driver(methods=["pxe"]).boot_once(BootMethod.PXE)


@pytest.mark.slow
def test_out_of_time_a_cycle_is_unclear_and_the_program_is_dead(pdu: Pdu, tmp_path: Path) -> None:
    pdu.program(f"(sleep 1.4; touch {tmp_path}/late) & sleep 60")
    with pytest.raises(DriverUnclear, match="1 s and was killed"):
        pdu.driver(seconds=1).cycle()
    with pytest.raises(DriverError) as error:
        pdu.driver(seconds=1).off()
    assert type(error.value) is DriverError
    assert not (tmp_path / "late").exists()


def test_endless_output_is_cut_and_a_password_in_it_is_masked(pdu: Pdu) -> None:
    pdu.program(
        "read -r word; head -c 1000000 /dev/zero | tr '\\0' x; echo; echo $word >&2; exit 1"
    )
    with pytest.raises(DriverError) as error:
        pdu.driver(password={"secret": "pdu"}).off()
    assert SECRET not in error.value.message and len(error.value.message) < 1000


def test_terminal_escapes_are_shown_as_such(pdu: Pdu) -> None:
    pdu.program("printf '\\033[2Jgone'")
    assert pdu.driver().off() == "\\x1b[2Jgone"


@pytest.mark.parametrize(
    "name", ["../pdu", "/bin/sh", ".hidden", "a/b", "-rf", "", "a b", "pdu\n", "x" * 65]
)
def test_only_a_plain_name_can_be_chosen(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        power.check(host(driver="command", program=name))
    assert refusal.value.field == "power.program"


def test_a_program_that_is_not_there_or_that_anybody_may_change_is_not_run(pdu: Pdu) -> None:
    with pytest.raises(DriverRefused, match="there is no program pdu"):
        pdu.driver().off()
    pdu.program("echo hi", mode=0o777)
    with pytest.raises(DriverRefused, match="other accounts"):
        pdu.driver().off()
    pdu.program("echo hi", mode=0o644)
    with pytest.raises(DriverRefused, match="cannot be run: Permission denied"):
        pdu.driver().off()


@pytest.mark.parametrize("name", ["PATH", "a-b", "A", "", "1a"])
def test_values_cannot_become_other_variables(name: str) -> None:
    with pytest.raises(Invalid):
        power.check(host(driver="command", program="pdu", values={name: "x"}))
