"""FreeBSD: what bsdinstall would trip over, and the first part's calls with a stand-in for nc."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.answers.families import INSTALLERS
from deployer.answers.installers.bsdinstall import partition_problems, split
from deployer.errors import Finding
from tests import golden
from tests.answers.strategies import PROFILES, hosts

FOUND = golden.found("freebsd")
HOST = {"name": "web01", "macs": ["52:54:00:12:34:56"]}


def context(base: str = "http://10.0.0.5:8081", **scripts: str) -> dict[str, Any]:
    own = {"pre": None, "post": None, "first_boot": None, **scripts}
    storage = {"layout": "plain", "volumes": []}
    return {"urls": {"base": base}, "profile": {"scripts": own, "storage": storage}}


def checked(text: str, values: dict[str, Any] | None = None) -> list[Finding]:
    installer = INSTALLERS["bsdinstall"]
    return installer.check(FOUND.family.answers[0], text, values or context())


def ours(case: str = "dhcp") -> str:
    return golden.golden("freebsd", case)["installerconfig"]


@pytest.mark.parametrize("case", ["dhcp", "raid1"])
def test_our_own_has_no_finding(case: str) -> None:
    assert checked(ours(case)) == []


@pytest.mark.parametrize(
    ("case", "old", "new", "problem"),
    [
        ("dhcp", "PARTITIONS=", "PARTITION=", "neither PARTITIONS nor ZFSBOOT_DISKS is set"),
        ("dhcp", "export BSDINSTALL_DISTDIR", "export BSDINSTALL_DISTDIRS", "no variable"),
        ("dhcp", "auto freebsd-ufs /", "auto freebsd-ufs /usr", "nothing is mounted at /"),
        ("dhcp", "export DISTRIBUTIONS", "ROOTPASS_PLAIN=x\nexport DISTRIBUTIONS", "in the clear"),
        ("dhcp", "trap '", "trap ", "nterminated"),
        ("dhcp", "cap_mkdb", "if cap_mkdb", "the script for the new system"),
        ("dhcp", "cap_mkdb", "passwd root\ncap_mkdb", "'passwd root' asks and waits"),
        ("dhcp", "cap_mkdb", "bsdinstall rootpass\ncap_mkdb", "asks and waits"),
        ("dhcp", "cap_mkdb", "echo 'x' | pw useradd a -h 0\ncap_mkdb", "in the clear"),
        ("raid1", "export nonInteractive=YES\n", "", "shows its menu"),
        ("raid1", "TYPE=mirror", "TYPE=raid1", "must be one of"),
        ("raid1", '"$DISKS_CHOSEN"', "ada0", "a mirror needs 2 disks"),
        ("raid1", '"$DISKS_CHOSEN"', '""', "names no disk"),
        ("raid1", "export ZFSBOOT_VDEV_TYPE", "ZFSBOOT_VDEV_TYPE", "is not exported"),
        ("raid1", "export ZFSBOOT_CONFIRM", "PARTITIONS=a\nexport ZFSBOOT_CONFIRM", "not looked"),
        ("raid1", "_CONFIRM_LAYOUT=", "_GELI_ENCRYPTION=1", "geli asks"),
    ],
)  # fmt: skip
def test_what_bsdinstall_would_trip_over_is_found(
    case: str, old: str, new: str, problem: str
) -> None:
    assert old in ours(case)
    found = checked(ours(case).replace(old, new))
    assert any(problem in finding.message for finding in found), found


def test_a_finding_has_file_line_and_remedy() -> None:
    text = ours().replace("cap_mkdb /etc/login.conf", "passwd root")
    (finding,) = checked(text)
    assert finding.file == "installerconfig" and finding.remedy
    assert text.split("\n")[(finding.line or 0) - 1] == "passwd root"


def test_pkg_asks_unless_it_is_told_not_to() -> None:
    text = "PARTITIONS=ada0\n#!/bin/sh\npkg install "
    assert [f.line for f in checked(f"{text}curl")] == [3]
    assert checked(f"{text}-y curl") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ada0", None),
        ("ada0 GPT { 20G freebsd-ufs /, 4G freebsd-swap, auto freebsd-ufs /usr }", None),
        ("ada0 { auto freebsd-ufs / }; ada1 { auto freebsd-ufs /data }", None),
        ("ada0 {\n auto freebsd-ufs / \n}", None),
        ("DEFAULT", "names no disk"),
        ("{ auto freebsd-ufs / }", "names no disk"),
        ("ada0 GPT { auto freebsd-ufs /", "do not match"),
        ("ada0 GPT ada1 { auto freebsd-ufs / }", "'ada1', which is neither"),
        ("ada0 NTFS { auto freebsd-ufs / }", "no scheme 'NTFS'"),
        ("ada0 { auto freebsd-ufs /, 2G freebsd-swap }", "and 1 more follow"),
        ("ada0 { 20X freebsd-ufs / }", "'20X' is no size"),
        ("ada0 { 20G ext4 / }", "no type 'ext4'"),
        ("ada0 { 20G freebsd-ufs / rw }", "size, type and at most"),
        ("ada0 { 20G freebsd-ufs root }", "is no absolute path"),
        ("ada0 { 20G freebsd-ufs /, 20G freebsd-ufs }", "is mounted nowhere"),
        ("ada0 { 20G freebsd-ufs /, 2G freebsd-ufs / }", "/ is mounted twice"),
    ],
)
def test_the_grammar_of_partitions(text: str, problem: str | None) -> None:
    found = list(partition_problems(text))
    assert found == [] if problem is None else any(problem in each for each in found), found


def test_a_line_that_would_end_the_first_part_is_found() -> None:
    found = checked(ours(), context(pre="true\n#!/bin/sh\ntrue"))
    assert [f.field for f in found] == ["scripts.pre"]


def test_what_its_base_system_cannot_do_is_said() -> None:
    assert [f.field for f in checked(ours(), context("https://deployer.example.org"))] == ["urls"]


def test_volumes_on_a_mirror_are_refused_by_name() -> None:
    storage = {"layout": "raid1", "volumes": [{"mount": "/srv", "size": "5GiB"}]}
    snapshot = golden.snapshot(FOUND, HOST, {"name": "web", "storage": storage})
    assert [f.field for f in golden.rendered(FOUND, snapshot)[1]] == ["storage.volumes"]


# As people have it for images of their own.
REAL = """\
export ZFSBOOT_DISKS=ada0
export nonInteractive="YES"
DISTRIBUTIONS="base.txz kernel.txz"

fetch -qo /dev/null {base}/installer_started

#!/bin/sh

set -e

cat <<EOS>> /etc/rc.conf
hostname="VM-FreeBSD"
keymap="jp.106.kbd"
ifconfig_em0="DHCP"
sshd_enable="YES"
EOS

export ASSUME_ALWAYS_YES=yes
cat <<EOS | xargs pkg install
  sudo
  curl
EOS
# first_boot, installer_failed and installer_finished: {base}
"""


def test_a_whole_file_of_an_operators_own_passes() -> None:
    content = REAL.replace("{base}", "{{ urls.phone_home }}")
    own = {"installerconfig": {"content": content, "template": True}}
    snapshot = golden.snapshot(FOUND, HOST, {"name": "own", "answer_files": own})
    assert golden.rendered(FOUND, snapshot)[1] == []


@pytest.mark.slow
@settings(max_examples=25)  # each runs a shell
@given(hosts(), PROFILES.filter(lambda profile: "kernel_args" not in profile))
def test_whatever_is_described_comes_out_as_it_went_in(
    host: dict[str, Any], profile: dict[str, Any]
) -> None:
    snapshot = golden.snapshot(FOUND, host, profile)
    files, findings = golden.rendered(FOUND, snapshot)
    # Scripts are made up too, and most are none.
    assert [f for f in findings if not (f.field or "").startswith("scripts.")] == []
    told = second_part(files["installerconfig"])
    assert f"hostname={snapshot.host.name}" in told
    for nic in snapshot.host.network.interfaces:
        assert all(any(line.endswith(a) or f"{a} " in line for line in told) for a in nic.addresses)
    for user in snapshot.profile.users:
        shell = user.shell.replace("/bin/bash", "/usr/local/bin/bash")
        assert shell in told and (user.password_hash or "*") in told
        if user.ssh_keys:
            assert "\n".join(user.ssh_keys) + "\n" in told


def second_part(text: str) -> list[str]:
    """What its shell hands to each command that would change the system."""
    _, script, _ = split(text)
    begin, end = script.index("sysrc hostname"), script.index("# --- the first boot tells")
    names = ("sysrc", "password", "user", "keys", "tzsetup", "sed", "cap_mkdb", "pkg", "write")
    tells = "".join(f'{name}() {{ printf "%s\\0" "$@"; }}\n' for name in names)
    done = subprocess.run(
        ["sh"], input=f"{tells}nic_with() {{ echo em0; }}\n{script[begin:end]}",
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split("\0")


@pytest.mark.slow
@given(st.text(max_size=60) | st.text("\"'\\ \n=#!$`;{}PARTITIONS,/", max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    checked(text.replace("\0", ""))
    list(partition_problems(text))


@pytest.mark.parametrize(
    "text",
    ["A='\n" * 60_000, "echo | " * 30_000, "ZFSBOOT_X=1\n" * 20_000, "pkg install " * 20_000],
)
def test_a_large_file_that_is_something_else_has_few_findings(text: str) -> None:
    assert len(checked(text)) <= 200


# --- the first part, run ----------------------------------------------------------------------

_DISKS = """\
Geom name: ada0
Providers:
1. Name: ada0
   Mediasize: 21474836480 (20G)
   descr: QEMU "HARD" DISK
   lunid: 5000c500a1b2c3d4
   ident: S3Z9NB0K
   rotationrate: 7200

Geom name: nda0
Providers:
1. Name: nda0
   Mediasize: 512110190592 (477G)
   descr: Fast One
   ident: (null)
   rotationrate: 0

Geom name: cd0
Providers:
1. Name: cd0
   Mediasize: 1000000 (1M)
"""
_NC = """\
cat > $ROOT/sent; head -n 1 $ROOT/sent | cut -d' ' -f2 >> $ROOT/calls
sed '1,/^.$/d' $ROOT/sent >> $ROOT/bodies; echo >> $ROOT/bodies
printf 'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n'; cat $ROOT/answer
"""
_FAKES = {
    "nc": _NC, "kenv": "exit 1", "sysctl": "echo 1024", "geom": "cat $ROOT/geom",
    "fetch": "echo $* >> $ROOT/fetched",
    "reboot": "echo reboot >> $ROOT/calls", "sleep": "exit 0",
}  # fmt: skip


def runs_first_part(root: Path, answer: str, mac: str = "52:54:00:12:34:56") -> str:
    """What bsdinstall would read in it afterwards; calls and bodies are in `root`."""
    for name, body in {**_FAKES, "ifconfig": f"echo '\tether {mac}'"}.items():
        file = root / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
    (root / "geom").write_text(_DISKS)
    (root / "answer").write_text(answer)
    text = split(ours())[0].replace("/tmp/deployer", f"{root}/own")
    text = text.replace("/usr/freebsd-dist", f"{root}/dist").replace("/dev/console", "/dev/null")
    script = f'set -e\n{text}\ntrap - EXIT\necho "$PARTITIONS"\n'
    path = f"{root}/bin:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh"], input=script, capture_output=True, text=True, timeout=30, check=False,
        env={"PATH": path, "ROOT": str(root), "FAIL_SECONDS": "0"},
    )  # fmt: skip
    return done.stdout


def test_the_first_part_takes_the_disk_that_the_server_names(tmp_path: Path) -> None:
    disk = '{"name":"ada0","path":"/dev/ada0"}'
    said = runs_first_part(tmp_path, f'{{"action":"proceed","disk":{disk},"disks":[{disk}]}}')
    assert said == "ada0 GPT { 2048M freebsd-swap, auto freebsd-ufs / }\n"
    calls = [line.rsplit("/", 1)[1] for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls == ["installer_started", "progress", "disks", "progress", "progress"]
    bodies = (tmp_path / "bodies").read_text()
    assert (
        '"name": "ada0", "path": "/dev/ada0", "size": 21474836480, "serial": "S3Z9NB0K"' in bodies
    )
    assert '"wwn": "0x5000c500a1b2c3d4", "model": "QEMU HARD DISK", "type": "hdd"}' in bodies
    assert '"serial": null, "wwn": null, "model": "Fast One", "type": "nvme"}' in bodies
    assert "cd0" not in bodies


def test_a_refusal_ends_it_before_bsdinstall_begins(tmp_path: Path) -> None:
    said = runs_first_part(tmp_path, '{"action":"abort","reason":"two disks fit"}')
    assert said == ""
    calls = (tmp_path / "calls").read_text()
    assert calls.endswith("reboot\n") and "installer_failed" not in calls  # the server knows


def test_another_machine_is_told_as_a_failure(tmp_path: Path) -> None:
    assert runs_first_part(tmp_path, "{}", mac="52:54:00:99:99:99") == ""
    assert (tmp_path / "calls").read_text().splitlines()[0].endswith("/installer_failed")
    assert "none of this machine's NICs is one of web01's" in (tmp_path / "bodies").read_text()
