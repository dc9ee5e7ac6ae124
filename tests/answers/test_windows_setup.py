"""The family `windows`: what is described arrives, and what Windows cannot do is refused."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from zoneinfo import available_timezones

import pytest
from hypothesis import HealthCheck, given, settings

from deployer.answers import prepare
from deployer.answers.filters import windows_names as names
from deployer.answers.grammars.windows_xml import Node, read
from deployer.answers.installers.windows_setup import as_powershell, password
from deployer.boot import ipxe
from deployer.core.profiles import ProfileSpec
from deployer.errors import Invalid
from tests import golden
from tests.answers import strategies
from tests.support.windows import HOST, MAC, PROFILE, SECOND, WINDOWS, files, findings

often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def component(text: str, pass_: str, name: str) -> Node | None:
    for found in read(text).find("settings"):
        for each in found.find("component"):
            given = (found.attributes["pass"], each.attributes["name"])
            if given == (pass_, f"Microsoft-Windows-{name}"):
                return each
    return None


def there(text: str, pass_: str, name: str) -> Node:
    found = component(text, pass_, name)
    assert found is not None
    return found


def literals(text: str) -> list[str]:
    """The texts of a piece of PowerShell, as PowerShell would read them."""
    found = re.findall(r"FromBase64String\('([^']*)'\)|'((?:[^']|'')*)'", text)
    return [base64.b64decode(b).decode() if b else plain.replace("''", "'") for b, plain in found]


def value_of(script: str, name: str) -> str | None:
    """What $NAME is set to; none for $null."""
    match = re.search(rf"(?m)^\${name} = (\$null$|(?:'|\(\[Text))", script)
    assert match is not None, name
    return None if match[1] == "$null" else literals(script[match.start(1) :])[0]


def accounts(script: str) -> list[dict[str, Any]]:
    """Those that deployer.ps1 makes."""
    found = []
    block = script.partition("$Accounts = @(\n")[2].partition("\n$AdministratorPassword")[0]
    for part in block.split("  @{\n")[1:]:
        head, _, keys = part.partition("    Keys = @(\n")
        admin = re.search(r"Admin = \$(true|false)", head)
        secret = head.partition("    Password = ")[2].strip()
        assert admin is not None
        found.append(
            {
                "name": literals(head)[0],
                "admin": admin[1] == "true",
                "password": None if secret == "$null" else literals(secret)[0],
                "keys": literals(keys.rpartition("    )")[0]),
            }
        )
    return found


# --- what is put in comes out -----------------------------------------------------------------


def _possible(profile: dict[str, Any]) -> dict[str, Any]:
    """Without what Windows is refused."""
    kept = {k: v for k, v in profile.items() if k not in ("packages", "kernel_args", "storage")}
    kept["users"] = [
        {k: v for k, v in user.items() if k not in ("password_hash", "shell")}
        for user in profile.get("users", [])
    ]
    kept["root"] = {"ssh_keys": profile.get("root", {}).get("ssh_keys", [])}
    kept["vars"] = {k: v for k, v in profile.get("vars", {}).items() if k not in _OWN_VARS}
    return kept


_OWN_VARS = ("edition", "ui_language", "admin_password", "passwords")


@pytest.mark.slow
@often
@given(strategies.hosts(), strategies.PROFILES)
def test_any_description_makes_files_that_say_the_same(
    host: dict[str, Any], profile: dict[str, Any]
) -> None:
    profile = _possible(profile)
    host["name"] = "h" + host["name"]  # digits alone are no name, and users may have any other
    profile["users"] = [u for u in profile["users"] if u["name"] != host["name"].split(".")[0]]
    made = files(host, **profile)
    spec = ProfileSpec.model_validate({**profile, "os": "windows", "release": "x"})
    shell = there(made["unattend.xml"], "specialize", "Shell-Setup")
    assert shell.value("ComputerName") == host["name"].split(".")[0]
    assert shell.value("TimeZone") == names.zones()[spec.timezone]
    core = there(made["unattend.xml"], "oobeSystem", "International-Core")
    assert core.value("UserLocale") == names.locale(spec.locale)
    assert core.value("InputLocale") == names.KEYBOARDS[spec.keyboard]
    script = made["deployer.ps1"]
    assert accounts(script) == [
        {"name": u.name, "admin": u.sudo, "password": None, "keys": u.ssh_keys} for u in spec.users
    ]
    assert value_of(script, "FirstBootScript") == spec.scripts.first_boot
    assert (value_of(script, "VerifyKey") is None) == (spec.verify is False)
    expected = re.search(r"(?m)^var EXPECT = (.*);$", made["deployer.js"])
    assert expected is not None and json.loads(expected[1]) == {
        "macs": host["macs"],
        "serial": host.get("serial", "").strip(),
        "uuid": host.get("uuid", ""),
    }


@often
@given(strategies.hosts())
@pytest.mark.slow
def test_every_nic_has_its_addresses_in_unattend_or_beside_dhcp_in_the_script(
    host: dict[str, Any],
) -> None:
    made = files({**host, "name": "web01"})
    shown: dict[str, list[str]] = {}
    tcpip = component(made["unattend.xml"], "specialize", "TCPIP")
    for each in tcpip.find("Interfaces/Interface") if tcpip else []:
        texts = [address.text for address in each.find("UnicastIpAddresses/IpAddress")]
        shown[each.value("Identifier") or ""] = texts
    block = made["deployer.ps1"].partition("$Nics = @(\n")[2].partition("\n$PostScript")[0]
    for part in block.split("  @{\n")[1:]:
        mac, *texts = literals(part)
        if texts:
            shown[mac] = texts
    nics = golden.snapshot(WINDOWS, host, PROFILE).host.network.interfaces
    assert shown == {
        nic.mac.upper().replace(":", "-"): nic.addresses
        for nic in nics
        if nic.mac and nic.addresses
    }
    dns = component(made["unattend.xml"], "specialize", "DNS-Client")
    path = "Interfaces/Interface/DNSServerSearchOrder/IpAddress"
    asked = [each.text for each in dns.find(path)] if dns else []
    assert sorted(asked) == sorted(server for nic in nics for server in nic.dns)


def test_gateways_are_routes_of_their_own_family() -> None:
    nics = [
        {"mac": MAC, "addresses": ["10.0.0.7/24"], "gateway": "10.0.0.1"},
        {"mac": SECOND, "addresses": ["2001:db8::7/64"], "gateway": "fe80::1"},
    ]
    made = files({"macs": [MAC, SECOND], "network": {"interfaces": nics}})
    routes = there(made["unattend.xml"], "specialize", "TCPIP").find(
        "Interfaces/Interface/Routes/Route"
    )
    assert [(r.value("Prefix"), r.value("NextHopAddress")) for r in routes] == [
        ("0.0.0.0/0", "10.0.0.1"),
        ("::/0", "fe80::1"),
    ]


def test_passwords_come_from_secrets_and_stand_in_no_other_file_than_the_one_that_sets_them() -> (
    None
):
    made = files(
        users=[{"name": "ops", "sudo": True}, {"name": "guest1"}],
        vars={"admin_password": {"secret": "admin"}, "passwords": {"ops": {"secret": "ops"}}},
    )
    assert value_of(made["deployer.ps1"], "AdministratorPassword") == "SECRET-VALUE"
    assert [a["password"] for a in accounts(made["deployer.ps1"])] == ["SECRET-VALUE", None]
    hidden = [password("SECRET-VALUE", name) for name in ("Password", "AdministratorPassword")]
    assert [
        path for path, text in made.items() if any(s in text for s in ("SECRET-VALUE", *hidden))
    ] == ["deployer.ps1"]


def test_a_kms_host_and_a_key_reach_the_license_service() -> None:
    given = {"key": {"secret": "key"}, "server": "http://kms.example.org:1688/"}
    script = files(registration=given)["deployer.ps1"]
    assert value_of(script, "ProductKey") == "SECRET-VALUE"
    assert value_of(script, "KeyServer") == "kms.example.org:1688"


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        (None, "$null"),
        (True, "$true"),
        ("it's", "'it''s'"),
        ('a $(b) `c "d"\n', "'a $(b) `c \"d\"\n'"),
        (
            "it\u2019s",
            "([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('aXTigJlz')))",
        ),
    ],
    ids=str,
)
def test_a_powershell_literal_expands_nothing(text: Any, literal: str) -> None:
    assert as_powershell(text) == literal


def test_a_hidden_password_is_what_windows_sim_writes() -> None:
    shown = base64.b64decode(password("secret", "Password")).decode("utf-16-le")
    assert shown == "secretPassword"


@pytest.mark.parametrize(
    ("release", "arch", "edition", "wanted"),
    [
        ("10", "x86_64", None, ["Professional", "Client"]),
        ("11", "arm64", "enterprise", ["Enterprise", "Client"]),
        ("server-2019", "x86_64", "datacenter-core", ["ServerDatacenter", "Server Core"]),
        ("server-2025", "x86_64", None, ["ServerStandard", "Server"]),
    ],
)
def test_the_edition_and_the_architecture_are_the_ones_asked_for(
    release: str, arch: str, edition: str | None, wanted: list[str]
) -> None:
    made = files(release=release, arch=arch, vars={"edition": edition} if edition else {})
    assert f"var EDITION = {json.dumps(wanted)};" in made["deployer.js"]
    architectures = set(re.findall(r'processorArchitecture="(\w+)"', made["unattend.xml"]))
    assert architectures == {"arm64" if arch == "arm64" else "amd64"}


def test_every_time_zone_of_the_database_has_a_name_in_windows_but_these() -> None:
    without = available_timezones() - set(names.zones())
    assert without <= {"Antarctica/Troll", "Factory", "localtime"}


@pytest.mark.parametrize(
    ("given", "tag"),
    [
        ("C.UTF-8", "en-US"),
        ("POSIX", "en-US"),
        ("de_CH.UTF-8", "de-CH"),
        ("de", "de-DE"),
        ("sr_RS@latin", "sr-Latn-RS"),
        ("no_NO", "nb-NO"),
        ("ca_ES.UTF-8@valencia", "ca-ES-valencia"),
    ],
)
def test_a_locale_has_its_windows_name(given: str, tag: str) -> None:
    assert names.locale(given) == tag


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"users": [{"name": "ops", "password_hash": "$6$abc$" + "a" * 20}]}, "passwords: {USER:"),
        ({"root": {"password_hash": "$6$abc$" + "a" * 20}}, "admin_password: {secret: NAME}"),
        ({"users": [{"name": "ops", "shell": "/bin/zsh"}]}, "DefaultShell"),
        ({"users": [{"name": "administrator"}]}, "takes no account 'administrator'"),
        ({"users": [{"name": "web01"}]}, "not the computer's (web01)"),
        ({"users": [{"name": "a" * 21}]}, "at most 20 characters"),
        ({"timezone": "Antarctica/Troll"}, "no time zone that follows Antarctica/Troll"),
        ({"locale": "xx.UTF-8"}, "names no region"),
        ({"keyboard": "klingon"}, "no layout of Windows is known for 'klingon'"),
        ({"vars": {"edition": "home"}}, "there is no 'home'; choose one of: standard"),
        ({"vars": {"edition": ["pro"]}}, "vars.edition: there is no ['pro']"),
        ({"vars": {"admin_password": "hunter22"}}, "vars.admin_password: it is in the clear"),
        ({"vars": {"admin_password": 7}}, "a password must be {secret: NAME}"),
        ({"vars": {"passwords": {"ops": {"secret": "x"}}}}, "users names no such account"),
        ({"vars": {"passwords": "x"}}, "vars.passwords: it must be a mapping"),
        (
            {"users": [{"name": "ops"}], "vars": {"passwords": {"ops": "hunter22"}}},
            "vars.passwords.ops: it is in the clear",
        ),
        ({"registration": {"server": "http://kms/a/b"}}, "a KMS host is a name"),
        ({"scripts": {"pre": "echo ü"}}, "scripts.pre: line 1: 'ü' is no printable ASCII"),
        ({"scripts": {"pre": "if x (\n"}}, "scripts.pre: line 1: a parenthesis that is opened"),
        ({"storage": {"layout": "raid1"}}, "storage.layout"),
        ({"storage": {"swap": "1GiB"}}, "storage.swap"),
        ({"kernel_args": ["rawbcd"]}, "kernel_args"),
        ({"verify": {"packages": ["x"]}}, "verify.packages"),
        ({"arch": "arm64"}, "arch: Windows cannot do 'arm64'"),
    ],
    ids=str,
)
def test_what_windows_cannot_do_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    found = findings(**change)
    assert any(words in f"{f.message}: {f.remedy}" for f in found), found


@pytest.mark.parametrize(
    ("name", "words"),
    [("a-name-of-sixteen", "has 17 characters"), ("123.example.org", "are digits alone")],
)
def test_a_host_name_that_no_computer_can_have_is_refused(name: str, words: str) -> None:
    (found,) = findings({"name": name})
    assert words in found.message


def test_an_image_without_anything_to_install_is_a_finding() -> None:
    snapshot = golden.snapshot(WINDOWS, HOST, PROFILE)
    assert snapshot.image is not None
    snapshot.image["files"] = [{"path": "sources/boot.wim", "size": 1}]
    (found,) = golden.rendered(WINDOWS, snapshot)[1]
    assert found.message == "image: it has no sources/install.wim, .esd or .swm"


@pytest.mark.parametrize(
    ("editions", "words"),
    [
        (
            [["ServerStandard", "Server Core"]],
            "0 of its images are ServerStandard, Server; it holds",
        ),
        ([["ServerStandard", "Server"]] * 2, "2 of its images are ServerStandard, Server"),
        ([["ServerStandard", "Server"], ["ServerStandard", "Server Core"]], None),
    ],
)
def test_a_medium_that_says_what_it_holds_is_asked_before_anything_is_written(
    editions: list[list[str]], words: str | None
) -> None:
    snapshot = golden.snapshot(WINDOWS, HOST, PROFILE)
    assert snapshot.image is not None
    snapshot.image["editions"] = editions
    found = [each.message for each in golden.rendered(WINDOWS, snapshot)[1]]
    assert len(found) == (words is not None) and (words or "") in "".join(found)


@pytest.mark.parametrize(
    ("host", "variables", "words"),
    [
        ({}, {"edition": ["x"]}, "image: vars.edition: there is no ['x']"),
        ({}, {"edition": "home"}, "image: vars.edition: there is no 'home'"),
        ({"name": "a-name-of-sixteen"}, {}, "has 17 characters"),
    ],
)
def test_where_an_operators_files_replace_ours_the_description_is_judged_all_the_same(
    host: dict[str, Any], variables: dict[str, Any], words: str
) -> None:
    ours = files()
    own = {path: {"content": ours[path]} for path in ("unattend.xml", "deployer.js")}
    found = findings(host, vars=variables, answer_files=own)
    assert any(words in each.message for each in found), found


def test_an_image_with_two_things_to_install_is_no_guess() -> None:
    snapshot = golden.snapshot(WINDOWS, HOST, PROFILE)
    assert snapshot.image is not None
    snapshot.image["files"] += [{"path": "sources/install.esd", "size": 1}]
    with pytest.raises(Invalid, match=r"several of sources/install\.wim"):
        golden.rendered(WINDOWS, snapshot)


def test_what_to_write_instead_is_said_of_fields_that_are_refused() -> None:
    assert set(WINDOWS.family.instead) <= set(WINDOWS.family.unsupported)


def test_a_secret_that_a_variable_names_is_one_of_the_profiles() -> None:
    profile = {
        "name": "web",
        "os": "windows",
        "release": "11",
        "vars": {"a": {"secret": "one"}, "b": {"c": [{"secret": "two"}]}, "secret": "three"},
    }
    assert ProfileSpec.model_validate(profile).secret_names() == ["one", "two"]


def test_iso_files_keep_the_names_that_windows_boot_manager_looks_for() -> None:
    snapshot = golden.snapshot(WINDOWS, HOST, {**PROFILE, "release": "11", "arch": "arm64"})
    boot = prepare.boot(WINDOWS, golden.context_of(snapshot))
    assert boot.kernel_url.endswith("/images/windows-11-arm64/wimboot.arm64")
    assert [each.name for each in boot.initrds][:4] == ["BCD", "boot.sdi", "boot.wim", "curl.exe"]
    assert not boot.linux and boot.loaders == ("ipxe",)
    line = next(text for text in ipxe.script(boot).split("\n") if "--name BCD" in text)
    base = "http://10.0.0.5:8081/images/windows-11-arm64"
    assert line == f"initrd --name BCD {base}/boot/bcd BCD || goto failed"


def test_every_file_is_sent_with_the_line_ends_of_windows() -> None:
    made = files()
    for answer in WINDOWS.family.answers:
        sent = prepare.packed(answer, made)
        assert sent.count(b"\n") == sent.count(b"\r\n") > 0
