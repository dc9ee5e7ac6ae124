"""ESXi's agent.py and first boot, run for real: with a server, and with what esxcli prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployer.core.disks import Disk
from deployer.services.machines import parse_disks
from tests import golden

FOUND = golden.found("esxi")
MAC = "52:54:00:12:34:56"
UUID = "4c4c4544-0044-4810-8058-c4c04f4b3232"
HOST: dict[str, Any] = {"name": "esx01", "macs": [MAC], "uuid": UUID, "serial": "CN7016-A"}

PLATFORM = """\
Platform Information
   UUID: 0x4c 0x4c 0x45 0x44 0x0 0x44 0x48 0x10 0x80 0x58 0xc4 0xc0 0x4f 0x4b 0x32 0x32
   Product Name: PowerEdge R740
   Vendor Name: Dell Inc.
   Serial Number: CN7016-A
   IPMI Supported: true
"""
NICS = """\
Name    PCI Device    Driver  Admin Status  Link Status  Speed  Duplex  MAC Address         MTU  Description
------  ------------  ------  ------------  -----------  -----  ------  -----------------  ----  -----------
vmnic0  0000:01:00.0  ntg3    Up            Up            1000  Full    52:54:00:12:34:56  1500  Broadcom
vmnic1  0000:01:00.1  ntg3    Up            Down             0  Half    52:54:00:12:34:57  1500  Broadcom
"""  # noqa: E501
SAS, SATA = (
    "naa.600508b1001c4d41b1e5c4d5b8ff1a01",
    "t10.ATA_____ST32000_NM0011__________________Z1P2ABCD",
)
NVME, USB, LUN = (
    "t10.NVMe____Lexar_SSD_NM790_2TB_____05000020035BF2CA",
    "mpx.vmhba32:C0:T0:L0",
    "naa.60a98000486e2f65",
)


def device(name: str, size: int, **more: str) -> str:
    fields = {
        "Display Name": f"Local Disk ({name})", "Size": str(size), "Device Type": "Direct-Access ",
        "Devfs Path": f"/vmfs/devices/disks/{name}", "Model": "MODEL   ", "Is Pseudo": "false",
        "Is Local": "true", "Is Removable": "false", "Is SSD": "false", "Is Offline": "false",
        "Is USB": "false", **{key.replace("_", " "): value for key, value in more.items()},
    }  # fmt: skip
    return f"{name}\n" + "".join(f"   {key}: {value}\n" for key, value in fields.items()) + "\n"


DEVICES = (
    device(SAS, 286070, Model="LOGICAL VOLUME") + device(SATA, 1907729) + device(NVME, 1953514)
    + device(USB, 30000, Is_USB="true") + device(LUN, 102400, Is_Local="false")
    + device("mpx.vmhba33:C0:T0:L0", 0, Device_Type="CD-ROM")
)  # fmt: skip


def path(name: str, transport: str, adapter: str = "vmhba0") -> str:
    return (f"{transport}.{adapter}-{name}\n   UID: {transport}.{adapter}-{name}\n"
            f"   Device: {name}\n   Adapter: {adapter}\n   Transport: {transport}\n\n")  # fmt: skip


PATHS = path(SAS, "sas") + path(SATA, "sata") + path(NVME, "pcie", "vmhba2")
TABLE = "gpt\n2000 255 63 3907029168\n1 64 204863 C12A systemPartition 128\n3 9 99 AA31 vmfs 0\n"
PRINTED = {
    "localcli hardware platform get": PLATFORM,
    "localcli network nic list": NICS,
    "localcli storage core device list": DEVICES,
    "localcli storage core path list": PATHS,
    "localcli nvme device get -A vmhba2": "   Serial Number: NL4711\n   Model Number: NM790\n",
    f"partedUtil getptbl /vmfs/devices/disks/{SATA}": TABLE,
    "esxcli network nic list": NICS,
}  # fmt: skip


class Server:
    """Remembers what is posted, and answers what a test wants."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                is_json = self.headers["Content-Type"] == "application/json"
                name = self.path.split("/", 3)[3]
                outer.calls.append((name, json.loads(raw) if is_json else raw.decode()))
                status, body = outer.answers.get(name, (200, "ok"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(
                    body.encode() if isinstance(body, str) else json.dumps(body).encode()
                )

            def log_message(self, *args: Any) -> None: ...

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def of(self, name: str) -> Any:
        return [body for called, body in self.calls if called == name]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


class Esxi:
    """A folder with programs that print what ESXi's would, and remember how they were called."""

    def __init__(self, folder: Path, server: Server, printed: dict[str, str]) -> None:
        self.folder, self.server = folder, server
        (folder / "bin").mkdir()
        (folder / "own").mkdir()
        (folder / "printed.json").write_text(json.dumps({**PRINTED, **printed}))
        program = (f"#!{sys.executable}\nimport json, os, sys\n"
                   f"words = ' '.join([os.path.basename(sys.argv[0])] + sys.argv[1:])\n"
                   f"open({str(folder / 'ran')!r}, 'a').write(words + chr(10))\n"
                   f"printed = json.load(open({str(folder / 'printed.json')!r}))\n"
                   "print(printed.get(words, ''), end='')\n"
                   )  # fmt: skip
        for name in ("localcli", "esxcli", "partedUtil", "vim-cmd", "reboot", "secureboot"):
            (folder / "bin" / name).write_text(program)
            (folder / "bin" / name).chmod(0o755)

    def runs(self, script: str, *words: str) -> int:
        file = self.folder / "own" / "agent.py"
        file.write_text(script.replace(golden.BASE, self.server.url).replace("time.sleep(60)", ""))
        environment = {
            **os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "DEPLOYER_OWN": str(self.folder / "own"), "DEPLOYER_LOG": str(self.folder / "log"),
            "DEPLOYER_FAIL_SECONDS": "0", "DEPLOYER_SECURE_BOOT": f"{self.folder}/bin/secureboot",
            "DEPLOYER_SSH": str(self.folder / "ssh"), "DEPLOYER_LEFT": str(self.folder / "left"),
            "DEPLOYER_PAUSES": "0 0",
        }  # fmt: skip
        done = subprocess.run([sys.executable, str(file), *words], env=environment, timeout=60,
                              check=False, stdout=subprocess.DEVNULL)  # fmt: skip
        (self.folder / "own" / "done").touch()  # what watches ends with it
        return done.returncode

    def ran(self) -> list[str]:
        return (self.folder / "ran").read_text().splitlines()

    def chosen(self) -> str | None:
        file = self.folder / "own" / "chosen.cfg"
        return file.read_text() if file.exists() else None


def files_of(host: dict[str, Any] | None = None, **profile: Any) -> dict[str, str]:
    snapshot = golden.snapshot(FOUND, {**HOST, **(host or {})}, {"name": "esx", **profile})
    files, findings = golden.rendered(FOUND, snapshot)
    assert findings == []
    return files


def proceed(name: str) -> tuple[int, Any]:
    disk = {"name": name, "path": f"/vmfs/devices/disks/{name}"}
    return 200, {"action": "proceed", "disk": disk, "disks": [disk]}


@pytest.mark.slow
def test_it_asks_for_its_disk_and_writes_what_the_installer_includes(
    server: Server, tmp_path: Path
) -> None:
    esxi = Esxi(tmp_path, server, {})
    server.answers["disks"] = proceed(SATA)
    assert esxi.runs(files_of(root={"password_hash": golden.HASH})["agent.py"], "before") == 0
    assert esxi.chosen() == f"install --disk=/vmfs/devices/disks/{SATA} --overwritevmfs\n"
    (facts,) = server.of("phone-home/installer_started")
    assert facts["facts"]["serial"] == "CN7016-A" and MAC in facts["facts"]["macs"]
    disks = {disk.name: disk for disk in parse_disks(server.of("disks")[0])}
    assert set(disks) == {SAS, SATA, NVME, USB, LUN}
    assert disks[SATA] == Disk(
        name=SATA, path=f"/vmfs/devices/disks/{SATA}", size=1907729 * 2**20, serial="Z1P2ABCD",
        model="MODEL", type="hdd", transport="sata", contents=["gpt", "systemPartition", "vmfs"],
    )  # fmt: skip
    assert (disks[SAS].wwn, disks[SAS].serial) == ("0x" + SAS[4:], None)
    assert (disks[NVME].type, disks[NVME].serial, disks[NVME].wwn) == ("nvme", "NL4711", None)
    # A stick, and a LUN that others may use: only by serial or WWN.
    assert (disks[USB].transport, disks[LUN].transport) == ("usb", "fc")


@pytest.mark.slow
def test_a_root_without_a_password_is_given_one_that_nobody_knows(
    server: Server, tmp_path: Path
) -> None:
    esxi = Esxi(tmp_path, server, {f"partedUtil getptbl /vmfs/devices/disks/{SAS}":
                                   TABLE.replace("vmfs", "vsan")})  # fmt: skip
    server.answers["disks"] = proceed(SAS)
    esxi.runs(files_of()["agent.py"], "before")
    install, password = (esxi.chosen() or "").splitlines()
    assert install.endswith("--overwritevmfs --overwritevsan")
    assert password.startswith("rootpw Aa1!") and len(password) == 59
    assert password.split()[1] not in json.dumps(server.calls)


@pytest.mark.parametrize(
    ("host", "printed", "words"),
    [
        ({}, {"localcli hardware platform get": PLATFORM.replace("7016", "7017")}, "the serial"),
        ({"uuid": UUID.replace("4c4c", "5d5d")}, {}, "the UUID"),
        ({}, {"localcli network nic list": NICS.replace("12:34", "99:99")}, "none of this machine"),
        ({}, {"secureboot -s": "Enabled\n"}, "Secure Boot is on"),
    ],
    ids=["serial", "uuid", "mac", "secure boot"],
)  # fmt: skip
def test_another_machine_is_stopped_before_anything_is_written(
    server: Server, tmp_path: Path, host: Any, printed: dict[str, str], words: str
) -> None:
    esxi = Esxi(tmp_path, server, printed)
    server.answers["disks"] = proceed(SATA)
    assert esxi.runs(files_of(host)["agent.py"], "before") != 0
    assert esxi.chosen() is None and server.of("disks") == []
    (failure,) = server.of("phone-home/installer_failed")
    assert words in failure["message"] and failure["stage"] == "disks"
    assert "reboot -f" in esxi.ran()


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [(200, {"action": "abort", "reason": "no disk fits"}), (404, "nothing"), (422, "no"),
     (200, "nonsense"), (200, {"action": "proceed", "disks": [{"name": "naa.other"}]})],
    ids=str,
)  # fmt: skip
def test_without_a_plain_yes_nothing_is_written(
    server: Server, tmp_path: Path, answer: tuple[int, Any]
) -> None:
    esxi = Esxi(tmp_path, server, {})
    server.answers["disks"] = answer
    assert esxi.runs(files_of()["agent.py"], "before") != 0
    assert esxi.chosen() is None and "reboot -f" in esxi.ran()
    told = [] if answer[0] == 404 or "abort" in str(answer) else [1]
    assert len(server.of("phone-home/installer_failed")) == len(told)


def test_a_script_that_fails_stops_it_and_its_log_goes_along_without_secrets(
    server: Server, tmp_path: Path
) -> None:
    esxi = Esxi(tmp_path, server, {})
    (tmp_path / "log").write_text(
        "ks=http://h/d/abc123/answers/ks.cfg\nrootpw secret\nlast words\n"
    )
    assert esxi.runs(files_of(scripts={"pre": "exit 3"})["agent.py"], "before") != 0
    (failure,) = server.of("phone-home/installer_failed")
    assert failure["log_tail"] == "ks=http://h/d/.../answers/ks.cfg\nlast words"
    assert esxi.chosen() is None


def test_after_the_installation_it_says_so(server: Server, tmp_path: Path) -> None:
    esxi = Esxi(tmp_path, server, {})
    (tmp_path / "log").write_text("Installation done\n")
    assert esxi.runs(files_of(scripts={"post": f"touch {tmp_path}/post"})["agent.py"], "after") == 0
    assert (tmp_path / "post").exists()
    assert [name for name, _ in server.calls] == [
        "logs/weasel.log",
        "phone-home/installer_finished",
    ]


@pytest.mark.slow
def test_the_first_boot_makes_it_what_was_asked_for(server: Server, tmp_path: Path) -> None:
    esxi = Esxi(tmp_path, server, {"esxcli system version get": "Version: 8.0.3\n"})
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAA root@esx\n")
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "weasel.log").write_text("ks=http://h/d/abc123/answers/ks.cfg\n")
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU"
    nics = [{"mac": MAC, "addresses": ["10.0.0.7/24"], "gateway": "10.0.0.1", "mtu": 9000},
            {"name": "vmotion", "vlan": {"id": 42, "link": "52:54:00:12:34:57"},
             "addresses": ["10.9.0.7/16"]}]  # fmt: skip
    files = files_of(
        {"macs": [MAC, "52:54:00:12:34:57"], "network": {"interfaces": nics}},
        ntp=["ntp.example.org"], root={"ssh_keys": [key]}, users=[{"name": "ops", "sudo": True}],
        scripts={"first_boot": f"touch {tmp_path}/mine"},
    )  # fmt: skip
    script = files["ks.cfg"].split("%firstboot --interpreter=python\n")[1]
    assert esxi.runs(script.replace('run("/sbin/auto-backup.sh")', "")) == 0
    ran = esxi.ran()
    assert "esxcli network vswitch standard set -v vSwitch0 -m 9000" in ran
    start = ran.index("esxcli network vswitch standard add -v vSwitch1")
    assert ran[start : start + 6] == [
        "esxcli network vswitch standard add -v vSwitch1",
        "esxcli network vswitch standard uplink add -u vmnic1 -v vSwitch1",
        "esxcli network vswitch standard portgroup add -p vmotion -v vSwitch1",
        "esxcli network vswitch standard portgroup set -p vmotion -v 42",
        "esxcli network ip interface add -i vmk1 -p vmotion",
        "esxcli network ip interface ipv4 set -i vmk1 -t static -I 10.9.0.7 -N 255.255.0.0",
    ]
    assert "esxcli system ntp set --server=ntp.example.org --enabled=true" in ran
    assert "esxcli system permission set --id=ops --role=Admin" in ran
    assert (tmp_path / "ssh" / "keys-root" / "authorized_keys").read_text() == key + "\n"
    assert "vim-cmd hostsvc/start_ssh" in ran and (tmp_path / "mine").exists()
    assert ran[-1] == "esxcli network firewall set --enabled=true"
    (told,) = server.of("phone-home/first_boot")
    assert told["ssh_host_keys"] == ["ssh-ed25519 AAAA"]
    assert told["facts"]["problems"] == [] and "8.0.3" in told["facts"]["version"]
    assert "abc123" not in (tmp_path / "left" / "weasel.log").read_text()
