"""ESXi: what its installer would stumble over, and that what we write says what was asked for."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.grammars import esxi_kickstart
from deployer.answers.installers import weasel
from deployer.errors import Finding, Invalid
from tests import golden
from tests.answers import strategies

FOUND = golden.found("esxi")
HASH = golden.HASH
MAC, SECOND = "52:54:00:12:34:56", "52:54:00:12:34:57"
HOST: dict[str, Any] = {"name": "esx01.example.org", "macs": [MAC, SECOND]}
FILES = {file.path: file for file in FOUND.family.answers}


def context_of(release: str = "8.0", host: dict[str, Any] | None = None, **profile: Any) -> Any:
    spec = {"name": "esx", "release": release, **profile}
    context = golden.context_of(golden.snapshot(FOUND, {**HOST, **(host or {})}, spec), "uefi")
    return {**context, "release": {**context["release"], "serial": release != "9.0"}}


def check(file: str, text: str, release: str = "8.0", **host: Any) -> list[Finding]:
    return weasel.INSTALLER.check(FILES[file], text, context_of(release, host))


def rendered(release: str = "8.0", host: dict[str, Any] | None = None, **profile: Any) -> Any:
    spec = {"name": "esx", "release": release, **profile}
    snapshot = golden.snapshot(FOUND, {**HOST, **(host or {})}, spec)
    assert prepare.unsupported(FOUND.family, snapshot.profile, snapshot.host) == []
    files, findings = golden.rendered(FOUND, snapshot, "uefi")
    assert findings == []
    return files


# --- whole files of other hands ----------------------------------------------------------------

CALLS = """\
%pre --interpreter=busybox
python -c 'import urllib.request as u; u.urlopen("http://d/phone-home/installer_started", b"{}")'
%post --interpreter=busybox --ignorefailure=true --timeout=60
python -c 'import urllib.request as u; u.urlopen("http://d/phone-home/installer_finished", b"{}")'
%firstboot --interpreter=busybox
python -c 'import urllib.request as u; u.urlopen("http://d/phone-home/first_boot", b"{}")'
"""
# A rack of servers with a mirrored boot device; the manual's own way of writing it.
BRANCH = f"""\
#
# Branch office, ESXi 8
#
vmaccepteula
rootpw --iscrypted {HASH}
clearpart --drives=naa.600508b1001c4d41b1e5c4d5b8ff1a01 --overwritevmfs
install --disk=/vmfs/devices/disks/naa.600508b1001c4d41b1e5c4d5b8ff1a01 --overwritevmfs \
--novmfsondisk
network --bootproto=static --device=vmnic0 --ip=192.168.6.35 --netmask=255.255.255.0 \
--gateway=192.168.6.1 --nameserver=192.168.6.100,192.168.6.101 --hostname=branch01 --vlanid=6 \
--addvmportgroup=0
keyboard 'Swiss German'
reboot --noeject
{CALLS}
# enable & start remote ESXi Shell (SSH)
vim-cmd hostsvc/enable_ssh
vim-cmd hostsvc/start_ssh
esxcli system settings advanced set -o /UserVars/SuppressShellWarning -i 1
esxcli network ip dns search add --domain=branch.example.org
"""
# It looks for its disk itself, and writes what is included.
SEARCHING = f"""\
accepteula
rootpw --iscrypted {HASH}
network --bootproto=dhcp --device={MAC}
%include /tmp/DiskConfig
reboot
{
    CALLS.replace(
        "%pre --interpreter=busybox",
        '''%pre --interpreter=busybox
DISK=$(ls /vmfs/devices/disks | grep '^t10.ATA' | grep -v ':' | grep S3Z9NB0K | head -n 1)
if [ -z "$DISK" ]; then exit 1; fi
echo "install --disk=/vmfs/devices/disks/$DISK --overwritevmfs" > /tmp/DiskConfig''',
    )
}
%firstboot --interpreter=python
import subprocess
for number, server in enumerate(["ntp1.example.org", "ntp2.example.org"]):
    subprocess.check_call(["esxcli", "system", "ntp", "set", "-s", server, "-e", "yes"])
"""


@pytest.mark.parametrize("release", ["7.0", "8.0", "9.0"])
@pytest.mark.parametrize("text", [BRANCH, SEARCHING], ids=["branch", "searching"])
def test_a_file_of_another_hand_passes(text: str, release: str) -> None:
    assert check("ks.cfg", text, release) == []


def test_it_passes_as_an_answer_file_of_a_profile() -> None:
    spec = {"name": "esx", "answer_files": {"ks.cfg": {"content": BRANCH}}}
    files, findings = golden.rendered(FOUND, golden.snapshot(FOUND, HOST, spec), "uefi")
    assert findings == [] and files["ks.cfg"] == BRANCH


# --- broken files ------------------------------------------------------------------------------

DISK = "--disk=/vmfs/devices/disks/naa.600508b1001c4d41b1e5c4d5b8ff1a01"
BROKEN: list[tuple[str, str, int | None, str]] = [
    ("vmaccepteula", "#", None, "the licence is not accepted"),
    ("vmaccepteula", "vmaccepteula\nvmaccepteula", 5, "stands in line 4 already"),
    ("vmaccepteula", "eula --agreed", 4, "there is no command 'eula'"),
    ("vmaccepteula", "autopart --firstdisk", 4, "gone since ESXi 7.0"),
    ("vmaccepteula", "vmaccepteula\nupgrade", 5, "a deployment installs"),
    ("vmaccepteula", "vmaccepteula\ndryrun", 5, "a deployment installs"),
    ("vmaccepteula", "vmaccepteula\nrootpw 'x", 5, "No closing quotation"),
    (f"rootpw --iscrypted {HASH}", "rootpw VMware1!", 5, "in the clear"),
    (f"rootpw --iscrypted {HASH}", "rootpw --iscrypted $1$ab$cdefgh", 5, "SHA-512 hash alone"),
    (f"rootpw --iscrypted {HASH}", "rootpw --iscrypted", 5, "takes one password"),
    (f"rootpw --iscrypted {HASH}", "", None, "there is no rootpw"),
    (f"rootpw --iscrypted {HASH}", f"rootpw --iscrypted=yes {HASH}", 5, "takes no value"),
    (DISK, "--firstdisk=local", 7, "whatever disk comes first"),
    (DISK, "--ignoressd", 7, "names no disk"),
    (DISK, "--disk=sda", 7, "no disk's name"),
    (DISK, "--disk=", 7, "needs a value"),
    (f"{DISK} --overwritevmfs", DISK, 7, "the installer stops and asks"),
    ("--novmfsondisk", "--preservevmfs", 7, "exclude each other"),
    ("--novmfsondisk", "--erase", 7, "no option --erase"),
    ("--novmfsondisk", "everything", 7, "does not know 'everything'"),
    (f"install {DISK} --overwritevmfs --novmfsondisk", "", None, "no install command"),
    ("--drives=naa.600508b1001c4d41b1e5c4d5b8ff1a01", "--alldrives", 6, "nobody named"),
    ("--drives=naa.600508b1001c4d41b1e5c4d5b8ff1a01", "--drives=sda", 6, "no name of a disk"),
    ("--bootproto=static", "--bootproto=bootp", 8, "dhcp or static"),
    ("--bootproto=static", "--bootproto=dhcp", 8, "with DHCP there is no --ip"),
    ("--device=vmnic0", "--device=eth0", 8, "a MAC or vmnicN"),
    ("--device=vmnic0 ", "", 8, "first NIC that has a link"),
    ("--gateway=192.168.6.1 ", "", 8, "needs --gateway too"),
    ("--gateway=192.168.6.1 ", "--gateway=10.0.0.1 ", 8, "is not in 192.168.6.0/24"),
    ("--netmask=255.255.255.0", "--netmask=255.0.255.0", 8, "is no netmask"),
    ("--ip=192.168.6.35", "--ip=192.168.6.350", 8, "is no IPv4 address"),
    ("192.168.6.101", "ns.example.org", 8, "is no IPv4 address"),
    ("--vlanid=6", "--vlanid=4096", 8, "up to 4095"),
    ("--addvmportgroup=0", "--addvmportgroup=no", 8, "is 0 or 1"),
    ("'Swiss German'", "Swiss German", 9, "no keyboard 'Swiss German'"),
    ("'Swiss German'", "de", 9, "no keyboard 'de'"),
    ("reboot --noeject", "", None, "there is no reboot"),
    ("reboot --noeject", "reboot\nserialnum --esx=ABC", 11, "five groups"),
    ("reboot --noeject", "reboot\n%include", 11, "the path of one file"),
    ("vim-cmd hostsvc/enable_ssh", "if true; then", 24, "end of file unexpected"),
    ("vim-cmd hostsvc/enable_ssh", "%end", 19, "no %end here"),
    ("vim-cmd hostsvc/enable_ssh", "%packages", 19, "no section %packages"),
    ("%firstboot --interpreter=busybox", "%firstboot --interpreter=perl", 15, "busybox or python"),
    ("%firstboot --interpreter=busybox", "%firstboot --timeout=9", 15, "no option --timeout"),
    ("--ignorefailure=true", "--ignorefailure=maybe", 13, "is not known"),
    ("--timeout=60", "--timeout=1m", 13, "is not known"),
    ("installer_finished", "done", None, "nothing calls installer_finished"),
    ("# Branch", "# Büro", 2, "not ASCII"),
    ("vmaccepteula\n", "vmaccepteula\r\n", 4, "carriage return"),
    ("# Branch", "#" * 100_000, None, "more than 100000"),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), BROKEN, ids=lambda v: str(v)[:40])
def test_what_the_installer_would_stumble_over_is_found(
    old: str, new: str, line: int | None, words: str
) -> None:
    assert old in BRANCH
    found = check("ks.cfg", BRANCH.replace(old, new, 1))
    matching = [f for f in found if words in f.message]
    assert matching, [f.message for f in found]
    assert matching[0].line == line
    assert matching[0].file == "ks.cfg" and matching[0].remedy


def test_what_is_included_is_written_by_somebody() -> None:
    lone = SEARCHING[: SEARCHING.index("%pre")] + CALLS[CALLS.index("%post") :]
    messages = [f.message for f in check("ks.cfg", lone)]
    assert any("nothing writes /tmp/DiskConfig" in message for message in messages)
    assert any("no %pre that writes one" in message for message in messages)


def test_python_is_that_of_esxi_7() -> None:
    for bad, words in [
        ('print(f"{number}")', "Format strings"), ("x = (", "never closed"),
        ("x: int = 1", "annotation syntax"), ("print 'x'", "cannot read it"),
    ]:  # fmt: skip
        text = SEARCHING.replace("import subprocess", "import subprocess\n" + bad)
        (found,) = check("ks.cfg", text)
        line = text.split("\n").index(bad) + 1
        assert words in found.message and found.line == line


def test_secure_boot_never_runs_the_first_boot() -> None:
    (found,) = check("ks.cfg", BRANCH, secure_boot=True)
    assert "Secure Boot" in found.message


def test_esx_9_has_no_serial_number() -> None:
    text = BRANCH.replace("reboot", "serialnum --esx=AAAAA-BBBBB-CCCCC-DDDDD-EEEEE\nreboot")
    assert check("ks.cfg", text, "8.0") == []
    assert "licensed by files" in check("ks.cfg", text, "9.0")[0].message


def test_options_of_8_are_unknown_in_7() -> None:
    text = BRANCH.replace("--novmfsondisk", "--ignoreprereqwarnings")
    assert check("ks.cfg", text, "8.0") == []
    assert "no option --ignoreprereqwarnings" in check("ks.cfg", text, "7.0")[0].message


BOOT: list[tuple[str, str, int | None, str]] = [
    ("kernel=b.b00", "kernel=/b.b00", 5, "begins with a slash"),
    ("kernel=b.b00", "kernel=B.B00", 5, "error 15"),
    ("k.b00 ---", "k.b00 --- none.v00 ---", 7, "'none.v00' is no file of the image"),
    ("kernel=b.b00\n", "", None, "there is no kernel"),
    ("bootstate=0", "boot state", 1, "no line of a boot.cfg"),
    ("bootstate=0", "modules=k.b00", 7, "modules stands in line 1 already"),
    ("prefix=http://", "prefix=/", 4, "prefix is no URL"),
    ("runweasel ", "", 6, "no installer would start"),
    ("runweasel ", "runweasel cdromBoot ", 6, "look for a disc"),
    ("ks=http", "kz=http", 6, "needs one ks="),
    ("/ks.cfg", "/ks.cfg?a=1&b=2", 6, "ends the URL"),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), BOOT, ids=lambda v: str(v)[:30])
def test_what_mboot_would_stumble_over_is_found(
    old: str, new: str, line: int | None, words: str
) -> None:
    ours = rendered()["boot.cfg"]
    assert old in ours and check("boot.cfg", ours) == []
    found = [f for f in check("boot.cfg", ours.replace(old, new, 1)) if words in f.message]
    assert found and found[0].line == line


@pytest.mark.parametrize("file", list(FILES))
@given(text=st.text(max_size=300) | st.text("%-=$'\"\\#\n {}naapreistl", max_size=300))
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_hostile_text_is_a_finding_and_never_an_exception(file: str, text: str) -> None:
    check(file, text)


@pytest.mark.parametrize("text", ["((" * 40_000, "install " * 9000, "%pre\n" * 40, "'" * 90_000])
def test_large_hostile_text_has_few_findings(text: str) -> None:
    assert 0 < len(check("ks.cfg", text)) <= 200


# --- what we write -----------------------------------------------------------------------------


def values(text: str) -> dict[str, Any]:
    """The names that a Python file sets at its top."""
    tree = ast.parse(text)
    sets = [node for node in tree.body if isinstance(node, ast.Assign)]
    found = {}
    for node in sets:
        if isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def first_boot(files: dict[str, str]) -> dict[str, Any]:
    return values(files["ks.cfg"].split("%firstboot --interpreter=python\n")[1])


def command(files: dict[str, str], name: str, release: str = "8.0") -> esxi_kickstart.Command:
    (found,) = esxi_kickstart.parse(files["ks.cfg"], release).named(name)
    return found


def test_a_static_host_with_all_that_it_may_have() -> None:
    nics = [
        {"mac": MAC, "addresses": ["10.0.0.7/24", "10.0.0.8/24", "2001:db8::7/64"],
         "gateway": "10.0.0.1", "dns": ["10.0.0.53", "10.0.0.54", "10.0.0.55"],
         "search": ["lab.example.org"], "mtu": 9000},
        {"name": "vmotion", "vlan": {"id": 42, "link": SECOND}, "addresses": ["10.9.0.7/16"]},
        {"mac": SECOND, "dhcp": True},
    ]  # fmt: skip
    files = rendered(host={"network": {"interfaces": nics}})
    assert command(files, "network").options == {
        "--bootproto": "static", "--device": MAC, "--ip": "10.0.0.7",
        "--netmask": "255.255.255.0", "--gateway": "10.0.0.1",
        "--nameserver": "10.0.0.53,10.0.0.54", "--hostname": "esx01.example.org",
        "--addvmportgroup": "1",
    }  # fmt: skip
    seen = first_boot(files)
    shown = [(n["name"], n["mac"], n["vlan"], n["address"], n["dhcp"]) for n in seen["KERNEL_NICS"]]
    assert shown == [
        ("Management Network", MAC, None, "10.0.0.7", False),
        (f"NIC {MAC} 2", MAC, None, "10.0.0.8", False),
        (f"NIC {SECOND}", SECOND, None, None, True),
        ("vmotion", SECOND, 42, "10.9.0.7", False),
    ]
    assert seen["KERNEL_NICS"][0]["ipv6"] == ["2001:db8::7/64"]
    assert seen["KERNEL_NICS"][0]["mtu"] == 9000
    assert (seen["DNS"], seen["SEARCH"]) == (["10.0.0.55"], ["lab.example.org"])


def test_a_tagged_management_network() -> None:
    vlan = {"name": "mgmt", "vlan": {"id": 7, "link": MAC}, "addresses": ["10.0.0.7/24"],
            "gateway": "10.0.0.1"}  # fmt: skip
    files = rendered(host={"network": {"interfaces": [vlan]}})
    assert command(files, "network").options["--vlanid"] == "7"


def test_an_address_without_a_gateway_is_set_at_the_first_boot() -> None:
    nic = {"mac": MAC, "addresses": ["10.0.0.7/24"]}
    files = rendered(host={"network": {"interfaces": [nic]}})
    assert command(files, "network").options["--bootproto"] == "dhcp"
    assert first_boot(files)["KERNEL_NICS"][0]["address"] == "10.0.0.7"


@pytest.mark.parametrize("release", ["7.0", "8.0"])
def test_a_licence_key_stands_in_the_script(release: str) -> None:
    spec = {"name": "esx", "release": release, "registration": {"key": {"secret": "esx"}}}
    snapshot = golden.snapshot(FOUND, HOST, spec)
    assert prepare.unsupported(FOUND.family, snapshot.profile) == []
    files, findings = golden.rendered(FOUND, snapshot, "uefi")
    assert command(files, "serialnum", release).options == {"--esx": "SECRET-VALUE"}
    assert ["five groups" in f.message for f in findings] == [True]


def test_esx_9_refuses_a_licence_key_by_name() -> None:
    spec = {"name": "esx", "release": "9.0", "registration": {"key": {"secret": "esx"}}}
    refused = prepare.unsupported(FOUND.family, golden.snapshot(FOUND, HOST, spec).profile)
    assert [f.field for f in refused] == ["registration"]


def test_bios_is_given_the_other_loader() -> None:
    snapshot = golden.snapshot(FOUND, HOST, {"name": "esx"})
    for firmware, name in (("bios", "mboot.c32"), ("uefi", "efi/boot/bootx64.efi")):
        boot = prepare.boot(FOUND, golden.context_of(snapshot, firmware))  # type: ignore[arg-type]
        assert boot.kernel_url.endswith("/" + name)
        assert [str(a) for a in boot.arguments] == ["-c", boot.arguments[1].name]
        assert boot.arguments[1].name.endswith("/answers/boot.cfg")


def test_a_keyboard_that_esxi_has_not_is_refused_by_name() -> None:
    snapshot = golden.snapshot(FOUND, HOST, {"name": "esx", "keyboard": "us-intl"})
    assert "'US Default'" in golden.rendered(FOUND, snapshot)[0]["ks.cfg"]
    with pytest.raises(Invalid, match="keyboard: ESXi has none for 'th'"):
        golden.rendered(FOUND, golden.snapshot(FOUND, HOST, {"name": "esx", "keyboard": "th"}))


NOT_HERE = ("locale", "timezone", "packages", "kernel_args", "verify", "vars")


def without_what_it_cannot(profile: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in profile.items() if name not in NOT_HERE}
    users = [
        {k: v for k, v in user.items() if k not in ("password_hash", "shell")}
        for user in profile.get("users", [])
    ]
    return {**kept, "storage": {"layout": "plain"}, "users": users}


PROFILES = strategies.PROFILES.map(without_what_it_cannot)


@given(host=strategies.hosts(), profile=PROFILES, release=st.sampled_from(["7.0", "8.0", "9.0"]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.slow
def test_what_was_asked_for_arrives(host: Any, profile: Any, release: str) -> None:
    root = profile.get("root", {})
    if "password_hash" in root:
        root = {**root, "password_hash": HASH}
    snapshot = golden.snapshot(FOUND, host, {**profile, "root": root, "release": release})
    assert prepare.unsupported(FOUND.family, snapshot.profile, snapshot.host) == []
    files, findings = golden.rendered(FOUND, snapshot)
    # The strategy's scripts are no shell, and its gateways are none.
    assert [f for f in findings if "first_boot" not in (f.field or f.message)] == []
    script = esxi_kickstart.parse(files["ks.cfg"], release)
    assert [s.name for s in script.sections] == ["%pre", "%post", "%firstboot"]
    assert [c.words for c in script.named("rootpw")] == (
        [[HASH]] if "password_hash" in root else []
    )
    seen, agent = first_boot(files), values(files["agent.py"])
    assert agent["MACS"] == snapshot.host.macs and agent["SERIAL"] == snapshot.host.serial
    assert seen["SCRIPT"] == snapshot.profile.scripts.first_boot
    assert seen["ROOT_KEYS"] == snapshot.profile.root.ssh_keys
    assert seen["USERS"] == [
        {"name": u.name, "sudo": u.sudo, "ssh_keys": u.ssh_keys} for u in snapshot.profile.users
    ]
    given_addresses = [a for i in snapshot.host.network.interfaces for a in i.addresses]
    kept = [n["address"] for n in seen["KERNEL_NICS"] if n["address"]]
    kept += [a.split("/")[0] for n in seen["KERNEL_NICS"] for a in n["ipv6"]]
    assert sorted(kept) == sorted(address.split("/")[0] for address in given_addresses)
