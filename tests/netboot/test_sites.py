"""What `deployer dhcp-config` prints, by those servers' own checks, and as they answer with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployer.netboot import sites
from deployer.netboot.loaders import CLIENTS, Loader, standard
from deployer.netboot.sites import Server, Site
from tests.golden import DHCP, SITE
from tests.support.live import until
from tests.support.netboot import KNOWN, THEIRS, URL
from tests.support.netns import Segment, needs_root
from tests.support.pxe import PxeClient

FILES = {offer.client.code: SITE.file(offer) for offer in SITE.offers}


@pytest.mark.parametrize("server", Server)
def test_each_server_is_told_what_golden_says(server: Server) -> None:
    """When the change is meant: `make golden`, then read the diff."""
    assert sites.configuration(server, SITE) == (DHCP / f"{server}.txt").read_text()


@pytest.mark.parametrize("server", Server)
def test_each_begins_with_where_it_belongs_and_names_every_loader(server: Server) -> None:
    for loader in Loader:
        text = sites.configuration(server, Site(URL, SITE.tftp, standard(), loader))
        assert re.match(r"(#|//) For |// The classes belong", text)
        for offer in Site(URL, SITE.tftp, standard(), loader).offers:
            assert f"{SITE.file(offer)}" in text
        assert f"{URL}/boot.ipxe" in text and "HTTPClient" in text


# --- as those servers answer ------------------------------------------------------------------


@contextmanager
def _process(
    segment: Segment, *words: str, ready: Callable[[str], bool], log: Path
) -> Iterator[None]:
    with log.open("w") as file:
        process = segment.others["other"].start(
            *words, stdout=file, stderr=file,
            env={**os.environ, "KEA_LOCKFILE_DIR": "none", "KEA_PIDFILE_DIR": str(log.parent)},
        )  # fmt: skip
    until(lambda: ready(log.read_text()), 10, log.read_text)
    yield
    process.terminate()
    process.wait(5)


@contextmanager
def dnsmasq(segment: Segment, folder: Path) -> Iterator[None]:
    file = folder / "site-dnsmasq.conf"
    file.write_text("\n".join([
        "port=0", "interface=eth0", "bind-interfaces", "no-ping", "pid-file=", "log-facility=-",
        f"dhcp-leasefile={folder}/site.leases", "dhcp-range=10.77.0.50,10.77.0.90,255.255.240.0",
        sites.configuration(Server.DNSMASQ, SITE),
    ]))  # fmt: skip
    subprocess.run(["dnsmasq", "--test", f"--conf-file={file}"], check=True, capture_output=True)
    with _process(segment, "dnsmasq", "-k", f"--conf-file={file}", log=folder / "dnsmasq.log",
                  ready=lambda log: "sockets bound" in log):  # fmt: skip
        yield


@contextmanager
def isc(segment: Segment, folder: Path) -> Iterator[None]:
    file, leases = folder / "dhcpd.conf", folder / "dhcpd.leases"
    leases.touch()
    file.write_text(
        sites.configuration(Server.ISC, SITE)
        + "authoritative;\nping-check false;\n"
        + "subnet 10.77.0.0 netmask 255.255.240.0 { range 10.77.0.50 10.77.0.90; }\n"
    )
    subprocess.run(["dhcpd", "-t", "-cf", str(file)], check=True, capture_output=True)
    with _process(segment, "dhcpd", "-f", "-d", "-user", "root", "-group", "root",
                  "-cf", str(file), "-lf", str(leases), "-pf", str(folder / "dhcpd.pid"),
                  "eth0", log=folder / "dhcpd.log",
                  ready=lambda log: "Server starting" in log):  # fmt: skip
        yield


@contextmanager
def kea(segment: Segment, folder: Path) -> Iterator[None]:
    file = folder / "kea.conf"
    text = sites.configuration(Server.KEA, SITE)
    document = json.loads(re.sub(r"(?m)(^|\s)//.*$", "", text))
    document["Dhcp4"] |= {
        "interfaces-config": {"interfaces": ["eth0"]},
        "lease-database": {"type": "memfile", "persist": False},
        "subnet4": [{"subnet": "10.77.0.0/20", "pools": [{"pool": "10.77.0.50 - 10.77.0.90"}]}],
    }
    file.write_text(text)
    subprocess.run(["kea-dhcp4", "-t", str(file)], check=True, capture_output=True)
    file.write_text(json.dumps(document))
    with _process(segment, "kea-dhcp4", "-c", str(file), log=folder / "kea.log",
                  ready=lambda log: "DHCP4_STARTED" in log):  # fmt: skip
        yield


SERVERS = {"dnsmasq": dnsmasq, "dhcpd": isc, "kea-dhcp4": kea}


@needs_root
@pytest.mark.parametrize("program", SERVERS)
def test_an_existing_server_with_these_lines_leads_every_firmware_to_us(
    segment: Segment, folder: Path, program: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; setup/packages.txt names its package")
    network = segment.client
    with segment.others["other"].has(THEIRS), SERVERS[program](segment, folder):
        for code, client in CLIENTS.items():
            reply = PxeClient(network, KNOWN, code, http=client.http).boots()
            assert reply.file == FILES[code], code
            assert str(reply.next_server) == "10.77.0.1" or client.http, code
            assert reply.vendor_class == ("HTTPClient" if client.http else ""), code
            ipxe = PxeClient(network, KNOWN, code, http=client.http, ipxe=True).boots()
            assert ipxe.file == f"{URL}/boot.ipxe", "iPXE would load itself for ever"
        assert PxeClient(network, KNOWN, 7, ipxe_option=True).boots().file == f"{URL}/boot.ipxe"
        assert PxeClient(network, KNOWN, 27).boots().file == ""
        assert PxeClient(network, KNOWN, arch=None).boots().file == ""


# --- those that Debian has no check for -------------------------------------------------------

_WORD = r"(?:'[^'\"]*'|\$Scope|[A-Za-z0-9.]+)"
_POWERSHELL = re.compile(
    rf"(?P<command>[A-Z][a-z]+-DhcpServerv4(?:Class|Policy|OptionValue))"
    rf"(?P<arguments>(?: -[A-Z][A-Za-z]+ (?:EQ,)?{_WORD})+)"
)


def test_windows_has_a_policy_with_its_options_for_every_firmware() -> None:
    """Each line is a comment, an assignment, or one command with quoted values."""
    classes, policies, options = {}, {}, {}
    for line in sites.configuration(Server.WINDOWS, SITE).splitlines():
        if re.fullmatch(r"#.*|\$[A-Za-z]+ = '[^']*'", line):
            continue
        match = _POWERSHELL.fullmatch(line)
        assert match, line
        words = dict(re.findall(rf" -([A-Za-z]+) ((?:EQ,)?{_WORD})", match["arguments"]))
        name = words.get("PolicyName", words.get("Name", "")).strip("'")
        if match["command"] == "Add-DhcpServerv4Class":
            classes[name] = words["Data"].strip("'")
        elif match["command"] == "Add-DhcpServerv4Policy":
            kind = "UserClass" if "UserClass" in words else "VendorClass"
            assert words[kind].removeprefix("EQ,").strip("'*") == name
            policies[name] = int(words["ProcessingOrder"])
        else:
            assert name in policies
            options.setdefault(name, {})[int(words["OptionId"])] = words["Value"].strip("'")
    assert policies["Deployer iPXE"] == 1
    assert sorted(policies.values()) == list(range(1, len(policies) + 1))
    assert options.pop("Deployer iPXE") == {67: f"{URL}/boot.ipxe"}
    for code, client in CLIENTS.items():
        name, kind = f"Deployer arch {code}", "HTTPClient" if client.http else "PXEClient"
        assert classes[name] == f"{kind}:Arch:{code:05d}"
        other = {60: "HTTPClient"} if client.http else {66: "10.77.0.1"}
        assert options.pop(name) == {67: FILES[code], **other}
    assert options == {}


_ROUTEROS = re.compile(r"add((?: [a-z-]+=(?:\"s'[^'\"]*'\"|\"[^\"]*\"|[A-Za-z0-9.,-]+))+)")


def test_mikrotik_has_a_matcher_with_its_options_for_every_firmware() -> None:
    menus: dict[str, list[dict[str, str]]] = {}
    menu = ""
    for line in sites.configuration(Server.MIKROTIK, SITE).splitlines():
        if line.startswith("/ip dhcp-server network set"):
            assert line == "/ip dhcp-server network set [find] next-server=10.77.0.1"
        elif line.startswith("/"):
            menu = line
        elif not line.startswith("#"):
            match = _ROUTEROS.fullmatch(line)
            assert match, line
            pairs = re.findall(r" ([a-z-]+)=(\"[^\"]*\"|\S+)", match[1])
            menus.setdefault(menu, []).append({k: v.strip('"') for k, v in pairs})
    options = {o["name"]: (int(o["code"]), o["value"]) for o in menus["/ip dhcp-server option"]}
    sets = {s["name"]: s["options"].split(",") for s in menus["/ip dhcp-server option sets"]}
    matchers = menus["/ip dhcp-server matcher"]
    assert (matchers[0]["code"], matchers[0]["value"]) == ("77", "iPXE")
    by_arch = {int(m["value"], 16): m["option-set"] for m in matchers[1:]}
    assert {m["code"] for m in matchers[1:]} == {"93"}
    for code, client in CLIENTS.items():
        given = dict(options[name] for name in sets[by_arch.pop(code)])
        other = {60: "s'HTTPClient'"} if client.http else {66: "s'10.77.0.1'"}
        assert given == {67: f"s'{FILES[code]}'", **other}
    assert by_arch == {}
