"""One description becomes an autoinstall: what is asked for is what the machine is told."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.installers import subiquity
from deployer.answers.render import environment
from deployer.core.documents import read
from deployer.errors import Invalid
from tests import golden
from tests.answers import strategies
from tests.answers.ubuntu import FAMILY, HOST, Json, rendered
from tests.support import packages
from tests.support.service import MAC


def autoinstall(profile: Json, host: Json = HOST, **kw: Any) -> Json:
    files, findings = rendered(profile, host, **kw)
    assert findings == []
    parsed: Json = yaml.safe_load(files["user-data"])["autoinstall"]
    return parsed


# --- one description -> autoinstall ------------------------------------------------------------


def test_ubuntu_pro_is_told_its_token() -> None:
    profile = {"registration": {"key": {"secret": "pro"}}}
    snapshot = golden.snapshot(FAMILY, HOST, {"name": "web", **profile})
    values = golden.context_of(snapshot)
    values["profile"]["registration"]["key"] = "C1NWcZTHLteJXGVMM6YhvHDpGrhyy7"
    files = prepare.answers(FAMILY, values)
    assert prepare.findings(FAMILY, values, files) == []
    told = yaml.safe_load(files["user-data"])["autoinstall"]["ubuntu-pro"]
    assert told == {"token": "C1NWcZTHLteJXGVMM6YhvHDpGrhyy7"}
    older = golden.snapshot(FAMILY, HOST, {"name": "web", "release": "20.04", **profile})
    refused = prepare.unsupported(FAMILY.family, older.profile)
    assert [finding.field for finding in refused] == ["registration"]


@pytest.mark.parametrize(
    ("release", "mirrors"),
    [
        ("20.04", {"primary": [{"uri": "http://m.example/u", "arches": ["arm64"]}]}),
        ("22.04", {"primary": [{"uri": "http://m.example/u", "arches": ["arm64"]}]}),
        ("24.04", {"fallback": "abort", "mirror-selection": {
            "primary": [{"uri": "http://m.example/u", "arches": ["arm64"]}]}}),
    ],
)  # fmt: skip
def test_the_mirror_is_written_as_the_release_reads_it(release: str, mirrors: Json) -> None:
    profile = {"release": release, "arch": "arm64", "mirror": "http://m.example/u"}
    assert autoinstall(profile)["apt"] == {"geoip": False, **mirrors}


def test_repositories_bring_their_keys() -> None:
    repositories = [
        {"name": "ours", "url": "http://p.example/d", "suite": "stable", "key": "KEY\n",
         "components": ["main", "extra"]},
        {"name": "flat", "url": "http://p.example/f"},
    ]  # fmt: skip
    assert autoinstall({"repositories": repositories})["apt"]["sources"] == {
        "deployer-ours": {"source": "deb http://p.example/d stable main extra", "key": "KEY\n"},
        "deployer-flat": {"source": "deb http://p.example/f ./"},
    }


@pytest.mark.parametrize("suite", ["a b", "$MIRROR", "[trusted=yes]", "ü"])
def test_a_repository_that_is_no_line_for_apt_is_refused(suite: str) -> None:
    with pytest.raises(Invalid, match="cannot be a word of an apt source"):
        rendered({"repositories": [{"name": "x", "url": "http://x/y", "suite": suite}]})


@pytest.mark.parametrize(
    ("keyboard", "layout", "variant"),
    [("us", "us", ""), ("ch", "ch", ""), ("de-nodeadkeys", "de", "nodeadkeys"),
     ("de-latin1", "de", ""), ("fr-ch", "ch", "fr")],
)  # fmt: skip
def test_the_keyboard_is_one_that_x_knows(keyboard: str, layout: str, variant: str) -> None:
    told = autoinstall({"keyboard": keyboard})["keyboard"]
    assert told == {"layout": layout, "variant": variant}


@pytest.mark.parametrize("layout", ["plain", "lvm", "raid1", "encrypted"])
@pytest.mark.parametrize(
    ("arch", "firmware"), [("x86_64", "bios"), ("x86_64", "uefi"), ("arm64", "bios")]
)
def test_every_layout_can_be_started(layout: str, arch: str, firmware: str) -> None:
    storage: Json = {"layout": layout, "swap": "2GiB", "volumes": [
        {"mount": "/root", "size": "1GiB"}, {"mount": "/swap", "size": "1GiB"},
        {"mount": "/var-log", "size": "1GiB"}, {"mount": "/var/log", "size": "1GiB", "fs": "xfs"},
    ]}  # fmt: skip
    storage |= {"passphrase": {"secret": "disk"}} if layout == "encrypted" else {}
    given = autoinstall({"arch": arch, "storage": storage}, firmware=firmware)["storage"]
    actions = given["config"]
    mounts = {action["path"] for action in actions if action["type"] == "mount"}
    uefi = firmware == "uefi" or arch == "arm64"
    boot = {"/boot"} if layout in ("lvm", "encrypted") else set()
    efi = {"/boot/efi"} if uefi else set()
    assert mounts == {"", "/", "/root", "/swap", "/var-log", "/var/log"} | boot | efi
    disks = 2 if layout == "raid1" else 1
    loaders = [action["type"] for action in actions if action.get("grub_device")]
    assert loaders == ["partition" if uefi else "disk"] * disks
    assert [a["path"] for a in actions if a["type"] == "disk"] == [
        f"/dev/deployer-disk-{number}" for number in range(1, disks + 1)
    ]
    assert given["swap"] == {"size": 0}


def test_a_bond_called_as_we_call_nics_is_another_device() -> None:
    nics = [{"name": "nic0", "bond": {"members": [MAC]}}]
    network = autoinstall({}, {**HOST, "network": {"interfaces": nics}})["network"]
    assert network["bonds"]["nic0"]["interfaces"] == ["port0"]


# --- whatever is described ---------------------------------------------------------------------

# The functions of system.sh, replaced by such as only say what they are told.
_HEAR = """
set +e
hear() { printf '%s\\0' "$@" $'\\1'; }
for name in write user password sudo_for keys; do eval "$name() { hear $name \\"\\$@\\"; }"; done
rm() { :; }; ssh-keygen() { :; }; systemctl() { :; }; update-initramfs() { :; }
# --- name, language"""


def heard(system: str) -> list[list[str]]:
    """What system.sh would do, as bash understands it."""
    assert system.count("\n# --- name, language") == 1
    script = system.replace("\n# --- name, language", _HEAR)
    done = subprocess.run(
        ["/usr/bin/bash"], input=script, env={"PATH": "/nonexistent"}, capture_output=True,
        text=True, timeout=20, check=True,
    )  # fmt: skip
    calls = done.stdout.split("\0\1\0")[:-1]
    return [call.split("\0") for call in calls]


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(host=strategies.hosts(), profile=strategies.PROFILES, release=st.sampled_from(
    [r.version for r in FAMILY.family.releases]))  # fmt: skip
def test_whatever_is_described_is_what_the_machine_is_told(
    host: Json, profile: Json, release: str
) -> None:
    snapshot = golden.snapshot(FAMILY, host, {**profile, "release": release})
    files, findings = golden.rendered(FAMILY, snapshot)
    # Any text at all is the operator's script, so it may well be no shell.
    assert [finding for finding in findings if finding.field != "scripts.first_boot"] == []
    told = yaml.safe_load(files["user-data"])["autoinstall"]
    assert told["locale"] == snapshot.profile.locale
    assert told["timezone"] == snapshot.profile.timezone
    assert set(snapshot.profile.packages) <= set(told["packages"])
    nics = {nic["match"]["macaddress"]: nic for nic in told["network"]["ethernets"].values()}
    for nic in snapshot.host.network.interfaces:
        given = nics[nic.mac or host["macs"][0]]
        assert given.get("addresses", []) == nic.addresses
        assert given["dhcp4"] is nic.uses_dhcp and given.get("mtu") == nic.mtu
        assert given.get("nameservers", {}).get("addresses", []) == nic.dns
    calls = heard(files["system.sh"])
    assert ["write", "0644", "/etc/hostname", f"{snapshot.host.name.split('.')[0]}\n"] in calls
    users = {call[1]: call[2] for call in calls if call[0] == "user" and call[1] != "deployer"}
    assert users == {user.name: user.shell for user in snapshot.profile.users}
    hashes = {call[1]: call[2] for call in calls if call[0] == "password"}
    wanted = {user.name: user.password_hash for user in snapshot.profile.users}
    wanted["root"] = snapshot.profile.root.password_hash
    assert hashes == {name: value for name, value in wanted.items() if value}
    keys = {call[1]: call[2] for call in calls if call[0] == "keys" and call[1] != "deployer"}
    wanted_keys = {user.name: user.ssh_keys for user in snapshot.profile.users}
    wanted_keys["root"] = snapshot.profile.root.ssh_keys
    assert keys == {name: "\n".join(all_) + "\n" for name, all_ in wanted_keys.items() if all_}


@given(st.text(max_size=60) | st.recursive(st.text(), lambda inner: st.lists(inner)))
@example("\x85\u2028\ufeff\ufffe\U0001f600 \u00fc")
@pytest.mark.slow
def test_a_quoted_value_comes_out_as_it_went_in(value: Any) -> None:
    text = environment(FAMILY).from_string("a: {{ value | cloud_yaml }}\n").render(value=value)
    assert yaml.safe_load(text) == {"a": value}
    assert read(text)[0].value == {"a": value}


def test_no_two_mount_points_have_one_name() -> None:
    mounts = ["/", "/root", "/swap", "/a-b", "/a/b", "/a--b", "/a-/b", "/boot"]
    names = [subiquity.INSTALLER.filters["device_id"](mount) for mount in mounts]
    assert len(set(names)) == len(names)


# --- netplan's own generator ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def netplan() -> Path:
    folder = packages.unpacked("netplan.io", "libnetplan0")
    if folder is None:
        pytest.skip("apt cannot fetch the package netplan.io, whose generator this needs")
    return folder


def generated(netplan: Path, folder: Path, network: Json) -> tuple[str, Json]:
    """(what netplan complains of, the files of systemd-networkd that it makes)"""
    file = folder / "etc/netplan/50.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.dump({"network": network}))
    file.chmod(0o600)
    (library,) = netplan.glob("usr/lib/*/libnetplan.so.0*")
    done = subprocess.run(
        [str(netplan / "usr/libexec/netplan/generate"), "--root-dir", str(folder)],
        env={"LD_LIBRARY_PATH": str(library.parent)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "error while loading shared libraries" in done.stderr:
        pytest.skip(done.stderr)
    made = (folder / "run/systemd/network").glob("*")
    return done.stderr, {each.name: each.read_text() for each in made}


@pytest.mark.parametrize("case", golden.cases("ubuntu"))
def test_netplan_takes_our_network(netplan: Path, tmp_path: Path, case: str) -> None:
    files = golden.golden("ubuntu", case)
    if "user-data" in files:
        network = yaml.safe_load(files["user-data"])["autoinstall"]["network"]
        complaints, made = generated(netplan, tmp_path, network)
        assert complaints == "" and made


def test_netplan_makes_of_it_what_was_described(netplan: Path, tmp_path: Path) -> None:
    text = golden.golden("ubuntu", "bond-vlan")["user-data"]
    _, made = generated(netplan, tmp_path, yaml.safe_load(text)["autoinstall"]["network"])
    assert "Mode=802.3ad" in made["10-netplan-bond0.netdev"]
    assert "VLAN=storage" in made["10-netplan-bond0.network"]
    assert "Gateway=10.0.0.1" in made["10-netplan-bond0.network"]
    assert "PermanentMACAddress=52:54:00:12:34:57" in made["10-netplan-nic1.link"]
    assert "Bond=bond0" in made["10-netplan-nic1.network"]
    assert "Id=7" in made["10-netplan-mgmt.netdev"]
    assert "ClientIdentifier=mac" in made["10-netplan-mgmt.network"]
