"""The family `windows`: what is described arrives, and what Windows would stumble over is found."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.installers import windows_names as names
from deployer.answers.installers import windows_scripts as scripts
from deployer.answers.installers import windows_unattend as unattend
from deployer.answers.installers.windows_setup import INSTALLER, as_powershell, password
from deployer.answers.installers.windows_unattend import Node
from deployer.core.families import Answer
from deployer.core.profiles import ProfileSpec
from deployer.errors import Finding, Invalid
from tests import golden
from tests.answers import strategies

WINDOWS = golden.found("windows")
MAC, SECOND = "52:54:00:12:34:56", "52:54:00:12:34:57"
HOST: dict[str, Any] = {"name": "web01", "macs": [MAC]}
PROFILE: dict[str, Any] = {"name": "web"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU"
often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def files(host: Any = HOST, **profile: Any) -> dict[str, str]:
    """What the machine would fetch; nothing is wrong with it."""
    snapshot = golden.snapshot(WINDOWS, {**HOST, **host}, {**PROFILE, **profile})
    assert prepare.unsupported(WINDOWS.family, snapshot.profile, snapshot.host) == []
    rendered, findings = golden.rendered(WINDOWS, snapshot, "uefi")
    assert findings == []
    return rendered


def findings(host: Any = HOST, **profile: Any) -> list[Finding]:
    """What is wrong with a description, wherever it is seen."""
    snapshot = golden.snapshot(WINDOWS, {**HOST, **host}, {**PROFILE, **profile})
    try:
        refused = prepare.unsupported(WINDOWS.family, snapshot.profile, snapshot.host)
        return refused or golden.rendered(WINDOWS, snapshot, "uefi")[1]
    except Invalid as error:
        return error.findings


def component(text: str, pass_: str, name: str) -> Node | None:
    for found in unattend.read(text).find("settings"):
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
        "macs": host["macs"], "serial": host.get("serial", "").strip(),
        "uuid": host.get("uuid", ""),
    }  # fmt: skip


@often
@given(strategies.hosts())
def test_every_nic_with_addresses_has_them_in_unattend(host: dict[str, Any]) -> None:
    made = files({**host, "name": "web01"})
    nics = host.get("network", {}).get("interfaces", [])
    shown: dict[str, list[str]] = {}
    tcpip = component(made["unattend.xml"], "specialize", "TCPIP")
    for each in tcpip.find("Interfaces/Interface") if tcpip else []:
        texts = [address.text for address in each.find("UnicastIpAddresses/IpAddress")]
        shown[each.value("Identifier") or ""] = texts
    spec = golden.snapshot(WINDOWS, host, PROFILE).host
    assert shown == {
        nic.mac.upper().replace(":", "-"): nic.addresses
        for nic in spec.network.interfaces
        if nic.mac and nic.addresses
    }
    dns = component(made["unattend.xml"], "specialize", "DNS-Client")
    asked = (
        [n.text for n in dns.find("Interfaces/Interface/DNSServerSearchOrder/IpAddress")]
        if dns
        else []
    )
    assert sorted(asked) == sorted(s for nic in spec.network.interfaces for s in nic.dns)
    assert bool(nics) >= bool(shown)


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
        ("0.0.0.0/0", "10.0.0.1"), ("::/0", "fe80::1"),
    ]  # fmt: skip


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
        ("C.UTF-8", "en-US"), ("POSIX", "en-US"), ("de_CH.UTF-8", "de-CH"), ("de", "de-DE"),
        ("sr_RS@latin", "sr-Latn-RS"), ("no_NO", "nb-NO"), ("ca_ES.UTF-8@valencia", "ca-ES-valencia"),
    ],
)  # fmt: skip
def test_a_locale_has_its_windows_name(given: str, tag: str) -> None:
    assert names.locale(given) == tag


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"users": [{"name": "ops", "password_hash": "$6$abc$" + "a" * 20}]}, "passwords: {USER: {secret"),
        ({"root": {"password_hash": "$6$abc$" + "a" * 20}}, "admin_password: {secret: NAME}"),
        ({"users": [{"name": "ops", "shell": "/bin/zsh"}]}, "DefaultShell"),
        ({"users": [{"name": "administrator"}]}, "takes no account 'administrator'"),
        ({"users": [{"name": "web01"}]}, "not the computer's (web01)"),
        ({"users": [{"name": "a" * 21}]}, "at most 20 characters"),
        ({"timezone": "Antarctica/Troll"}, "no time zone that follows Antarctica/Troll"),
        ({"locale": "xx.UTF-8"}, "names no region"),
        ({"keyboard": "klingon"}, "no layout of Windows is known for 'klingon'"),
        ({"vars": {"edition": "home"}}, "vars.edition: there is no 'home'; choose one of: standard"),
        ({"vars": {"edition": ["pro"]}}, "vars.edition: there is no ['pro']"),
        ({"vars": {"admin_password": "hunter22"}}, "vars.admin_password: it is in the clear"),
        ({"vars": {"admin_password": 7}}, "a password must be {secret: NAME}"),
        ({"vars": {"passwords": {"ops": {"secret": "x"}}}}, "users names no such account"),
        ({"vars": {"passwords": "x"}}, "vars.passwords: it must be a mapping"),
        ({"users": [{"name": "ops"}], "vars": {"passwords": {"ops": "hunter22"}}}, "vars.passwords.ops: it is in the clear"),
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
)  # fmt: skip
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


def test_an_image_with_two_things_to_install_is_no_guess() -> None:
    snapshot = golden.snapshot(WINDOWS, HOST, PROFILE)
    assert snapshot.image is not None
    snapshot.image["files"] += [{"path": "sources/install.esd", "size": 1}]
    with pytest.raises(Invalid, match=r"several of sources/install\.wim"):
        golden.rendered(WINDOWS, snapshot)


# --- unattend.xml of an operator --------------------------------------------------------------

TOKEN = 'publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS"'


def part(name: str, inner: str, arch: str = "amd64") -> str:
    return (
        f'<component name="Microsoft-Windows-{name}" processorArchitecture="{arch}" {TOKEN}>\n'
        f"{inner}\n</component>\n"
    )


def document(*passes: tuple[str, str]) -> str:
    inner = "".join(f'<settings pass="{name}">\n{parts}</settings>\n' for name, parts in passes)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<unattend xmlns="urn:schemas-microsoft-com:unattend"'
        ' xmlns:wcm="http://schemas.microsoft.com/WMIConfig/2002/State">\n'
        + inner
        + "</unattend>\n"
    )


NAME = part("Shell-Setup", "<ComputerName>web01</ComputerName>")
LANGUAGES = part(
    "International-Core",
    "<InputLocale>0409:00000409</InputLocale><SystemLocale>en-US</SystemLocale>"
    "<UILanguage>en-US</UILanguage><UserLocale>en-US</UserLocale>",
)
HIDDEN = password("Passw0rd", "AdministratorPassword")
OOBE = "<OOBE><HideEULAPage>true</HideEULAPage><ProtectYourPC>3</ProtectYourPC></OOBE>"
ACCOUNT = (
    f"<UserAccounts><AdministratorPassword><Value>{HIDDEN}</Value><PlainText>false</PlainText>"
    "</AdministratorPassword></UserAccounts>"
)
WELCOME = LANGUAGES + part("Shell-Setup", OOBE + ACCOUNT)


def judged(text: str, path: str = "unattend.xml", **profile: Any) -> list[tuple[int | None, str]]:
    """(line, message) of what is wrong with an operator's own file."""
    snapshot = golden.snapshot(WINDOWS, HOST, {**PROFILE, **profile})
    answer = next(a for a in WINDOWS.family.answers if a.path == path)
    values = golden.context_of(snapshot, "uefi")
    full = {**values, "release": {**values["release"], **_facts(snapshot.profile.release)}}
    return [(f.line, f.message) for f in INSTALLER.check(answer, text, full)]


def _facts(version: str) -> dict[str, Any]:
    release = WINDOWS.family.release(version)
    assert release is not None
    return release.facts


def specialized(inner: str) -> str:
    """Line 4 is the component, 5 what it holds."""
    return document(("specialize", part("Deployment", inner) + NAME), ("oobeSystem", WELCOME))


def run(order: str, path: str, action: str = ' wcm:action="add"') -> str:
    return f"<RunSynchronousCommand{action}><Order>{order}</Order><Path>{path}</Path></RunSynchronousCommand>"


def commands(*given: str) -> str:
    return specialized("<RunSynchronous>\n" + "\n".join(given) + "\n</RunSynchronous>")


def welcomed(shell: str) -> str:
    return document(("specialize", NAME), ("oobeSystem", LANGUAGES + part("Shell-Setup", shell)))


def in_pe(name: str, inner: str) -> str:
    return document(("windowsPE", part(name, inner)), ("specialize", NAME), ("oobeSystem", WELCOME))


def test_the_shortest_file_that_asks_nothing_is_fine() -> None:
    assert judged(document(("specialize", NAME), ("oobeSystem", WELCOME))) == []


BROKEN: list[tuple[str, int | None, str]] = [
    ("<unattend", 1, "it is no XML: unclosed token"),
    ("", 1, "it is no XML: no element found"),
    ('<?xml version="1.0" encoding="x-none"?><a/>', 1, "it is no XML: unknown encoding"),
    ('<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b "c">]>\n<a>&b;</a>', 2, "DOCTYPE"),
    ("<a>" * 50 + "</a>" * 50, 1, "more elements than any answer file"),
    ("<root/>", 1, "the root is root, not unattend"),
    (document(("specialise", NAME)), 3, "there is no pass 'specialise'"),
    (document(("specialize", NAME), ("specialize", NAME), ("oobeSystem", WELCOME)), 8, "the pass specialize stands in line 3 already"),
    (document(("specialize", NAME + NAME), ("oobeSystem", WELCOME)), 7, "Microsoft-Windows-Shell-Setup stands in line 4 of specialize already"),
    (document(("specialize", NAME + part("Setup", "")), ("oobeSystem", WELCOME)), 7, "Microsoft-Windows-Setup is not read in specialize, but in windowsPE"),
    (document(("specialize", NAME + part("Shell-Setupp", "")), ("oobeSystem", WELCOME)), 7, "no component of Windows that is known here"),
    (document(("specialize", NAME.replace("nonSxS", "sxs")), ("oobeSystem", WELCOME)), 4, 'needs versionScope="nonSxS"'),
    (document(("specialize", NAME.replace("31bf", "41bf")), ("oobeSystem", WELCOME)), 4, 'needs publicKeyToken="31bf3856ad364e35"'),
    (document(("specialize", NAME.replace("neutral", "en-us")), ("oobeSystem", WELCOME)), 4, 'needs language="neutral"'),
    (document(("specialize", NAME + part("TCPIP", "", "x64")), ("oobeSystem", WELCOME)), 7, "there is no processorArchitecture 'x64'"),
    (document(("specialize", NAME), ("offlineServicing", part("LUA-Settings", "", "x86")), ("oobeSystem", WELCOME)), 8, "offlineServicing holds nothing for amd64"),
    (specialized("<Nothing/>"), 5, "Deployment/Nothing: Windows has no such setting here"),
    (specialized("text"), 4, "Deployment has text between its elements: 'text'"),
    (commands(run("1", "a"), run("1", "b")), 7, "Order 1 stands in line 6 already"),
    (commands(run("2", "a")), 5, "the first Order must be 1"),
    (commands(run("x", "a")), 6, "Order must be a number from 1 to 500, not 'x'"),
    (commands(run("1", "a", "")), 6, 'needs wcm:action="add"'),
    (commands(run("1", "a" * 260)), 6, "Path must be 1 to 259 characters"),
    (commands('<RunSynchronousCommand wcm:action="add"><Order>1</Order></RunSynchronousCommand>'), 6, "RunSynchronousCommand lacks Path"),
    (commands(run("1", "a").replace("<Order>1</Order>", "<Order>1</Order><Order>2</Order>")), 6, "Order stands in line 6 already"),
    (document(("specialize", part("Shell-Setup", "<ComputerName>web_server_number_1</ComputerName>")), ("oobeSystem", WELCOME)), 5, "must be a computer's name: at most 15"),
    (document(("specialize", part("Shell-Setup", "<ComputerName>db</ComputerName>")), ("oobeSystem", WELCOME)), 4, "would be called db, and verified as web01"),
    (document(("oobeSystem", WELCOME)), None, "would be called a name that it makes up"),
    (welcomed(OOBE + ACCOUNT.replace("false", "true")), 13, "UserAccounts/AdministratorPassword is in the clear"),
    (welcomed(OOBE + ACCOUNT.replace("<PlainText>false</PlainText>", "")), 13, "is in the clear"),
    (welcomed(OOBE), 12, "no account that Windows is content with"),
    (welcomed(OOBE.replace("<HideEULAPage>true</HideEULAPage>", "") + ACCOUNT), 12, "OOBE/HideEULAPage is not true"),
    (welcomed(OOBE.replace("<ProtectYourPC>3</ProtectYourPC>", "") + ACCOUNT), 12, "OOBE/ProtectYourPC is not 1 or 2 or 3"),
    (welcomed(OOBE.replace("3", "4") + ACCOUNT), 13, "OOBE/ProtectYourPC must be a number from 1 to 3"),
    (welcomed(OOBE.replace("</OOBE>", "<SkipMachineOOBE>true</SkipMachineOOBE></OOBE>") + ACCOUNT), 13, "SkipMachineOOBE leaves settings undone"),
    (document(("specialize", NAME), ("oobeSystem", WELCOME.replace("UILanguage", "UILanguageFallback"))), 9, "International-Core/UILanguage is not set"),
    (document(("specialize", NAME), ("oobeSystem", part("Shell-Setup", OOBE + ACCOUNT))), None, "International-Core/InputLocale is not set in oobeSystem"),
    (in_pe("Setup", "<RunSynchronous>" + run("1", "cmd /c dir") + "</RunSynchronous>"), 5, "no command of windowsPE is run"),
    (in_pe("Setup", '<RunAsynchronous><RunAsynchronousCommand wcm:action="add"><Order>1</Order><Path>x</Path></RunAsynchronousCommand></RunAsynchronous>'), 5, "no command of windowsPE is run"),
    (in_pe("Setup", "<UserData><ProductKey><Key>VK7JG-NPHTM-C97JM-9MPGT-3V66T</Key></ProductKey></UserData>"), 5, "no key is read in windowsPE"),
    (in_pe("Setup", "<UserData><ProductKey><Key>1234</Key></ProductKey></UserData>"), 5, "Key must be a product key"),
    (in_pe("Setup", '<ImageInstall><OSImage><InstallFrom><MetaData wcm:action="add"><Key>/IMAGE/INDEX</Key><Value>2</Value></MetaData></InstallFrom></OSImage></ImageInstall>'), 5, "the image is not chosen here"),
    (in_pe("Setup", '<DiskConfiguration><Disk wcm:action="add"><WillWipeDisk>yes</WillWipeDisk></Disk></DiskConfiguration>'), 5, "Disk lacks DiskID"),
    (in_pe("International-Core-WinPE", "<UILanguage>english</UILanguage>"), 5, "UILanguage must be a locale"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), BROKEN, ids=lambda v: str(v)[-60:])
def test_what_setup_would_stumble_over_is_found_with_its_line(
    text: str, line: int | None, words: str
) -> None:
    found = judged(text)
    assert any(where == line and words in message for where, message in found), found
    assert all(message.startswith("unattend.xml") for _, message in found)


def test_a_client_is_asked_for_more() -> None:
    found = [
        message
        for _, message in judged(
            document(("specialize", NAME), ("oobeSystem", WELCOME)), release="11"
        )
    ]
    assert [word for word in ("HideOnlineAccountScreens", "HideWirelessSetupInOOBE", "no account") if any(word in m for m in found)] == [
        "HideOnlineAccountScreens", "HideWirelessSetupInOOBE", "no account",
    ]  # fmt: skip


def test_a_file_for_another_processor_is_no_file() -> None:
    text = document(("specialize", NAME), ("oobeSystem", WELCOME))
    found = judged(text, release="11", arch="arm64")
    assert any("specialize holds nothing for arm64" in message for _, message in found)


@pytest.mark.parametrize("name", ["from-a-web-form", "from-an-image-builder"])
def test_real_files_of_others_pass_with_our_command_added(name: str) -> None:
    """Written as such projects write them: all passes, LabConfig, AutoLogon, first-logon commands."""
    content = (Path(__file__).parent / "unattend" / f"{name}.xml").read_text(encoding="utf-8")
    release = "11" if "LabConfig" in content else "server-2022"
    made = files(release=release, answer_files={"unattend.xml": {"content": content}})
    assert made["unattend.xml"] == content


# --- scripts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "line", "words"),
    [
        ("startnet.cmd", "echo a\ngoto nowhere\n", 2, "there is no label :nowhere"),
        ("startnet.cmd", "call :gone\n", 1, "there is no label :gone"),
        ("startnet.cmd", ":a\ngoto a\n:A\n", 3, "the label :A stands in line 1 already"),
        ("startnet.cmd", 'echo "open\n', 1, "a quote is not closed"),
        ("startnet.cmd", "if a==b (\necho\n", 1, "a parenthesis that is opened here"),
        ("startnet.cmd", "echo x & pause\n", 1, "`pause` waits for a key"),
        ("startnet.cmd", "echo ä\n", 1, "'ä' is no printable ASCII"),
        ("startnet.cmd", "echo " + "x" * 8200, 1, "longer than the 8191 characters"),
        ("SetupComplete.cmd", "a\r\n", 1, "carriage return"),
        ("winpeshl.ini", "[LaunchApps]\n", None, "Windows PE starts Setup"),
        ("winpeshl.ini", "x\n[LaunchApps]\ny\n", 1, "'x' stands in no section"),
        ("deployer.js", "var a = 1;\nlet b = 2;\n", 2, "a later word"),
        ("deployer.js", "var a = () => 1;\n", 1, "an arrow function"),
        ("deployer.js", "var a = `x`;\n", 1, "a template text"),
        ("deployer.js", "var a = JSON.parse(b);\n", 1, "JSON, which JScript does not have"),
        ("deployer.js", "console.log(1);\n", 1, "console"),
        ("deployer.js", "var a = [1, 2,];\n", 1, "a comma before a closing bracket"),
        ("deployer.js", 'var a = "open;\n', 1, "a text begins here and does not end"),
        ("deployer.js", "var a;\n/* open\n", 2, "a comment begins here and does not end"),
        ("deployer.js", "x = /open\n", 1, "a pattern begins here and does not end"),
        ("deployer.js", "f(\n[1)\n", 2, "')' closes nothing that is open here, and '[' of line 2"),
        ("deployer.js", "function a() {\n", 1, "'{' that is opened here is never closed"),
        ("deployer.ps1", "if ($a) {\n", 1, "'{' that is opened here is never closed"),
        ("deployer.ps1", "a\n}\n", 2, "'}' closes nothing that is open here"),
        ("deployer.ps1", "$a = 'it''s\n", 1, "a text begins here and does not end"),
        ("deployer.ps1", '$a = "x`"\n', 1, "a text begins here and does not end"),
        ("deployer.ps1", "$a = @'\nx'@\n", 1, "a here-string begins here and does not end"),
        ("deployer.ps1", "<# x\n", 1, "a comment begins here and does not end"),
        ("deployer.ps1", "Read-Host 'name'\n", 1, "it waits for a person"),
        ("deployer.ps1", "'\u2019'\n", 1, "is no printable ASCII"),
    ],
)  # fmt: skip
def test_what_breaks_a_script_is_found_with_its_line(
    path: str, text: str, line: int | None, words: str
) -> None:
    found = judged(text, path)
    assert any(where == line and words in message for where, message in found), found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("startnet.cmd", ":: (\nrem \"\n@echo off\nif a==b (echo x) else (echo y)\ngoto :eof\necho :)\n"),
        ("startnet.cmd", "set x=end\ngoto %x%\n:end\n"),
        ("deployer.js", "var a = b / 2, c = /[/\"]/.test(d); // it's\nvar e = 'x\\'y', f = \"}\";\n"),
        ("deployer.js", "return /\"/.test(a);\n"),
        ("deployer.ps1", "$a = @'\nit's }\n'@\n$b = \"$($c) `\"{\" # (\n$d = 'x''y' <# [ #>\n"),
        ("deployer.ps1", "$c[`\n1] # it's\n"),
    ],
)  # fmt: skip
def test_what_only_looks_broken_is_no_finding(path: str, text: str) -> None:
    assert judged(text, path) == []


HOSTILE = ["(" * 300_000, "'" * 299_999, '"' * 299_999, "`" * 300_000, "/" * 300_000, "<a " * 100_000,
           "\n" * 300_000, "<#" * 150_000, "@'\n" * 100_000, "goto x\n" * 40_000, "\\" * 300_000, "\x00" * 1000,
           "&" * 300_000, "<a>" * 100_000, "\ud800"]  # fmt: skip


@pytest.mark.parametrize("path", [answer.path for answer in WINDOWS.family.answers])
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:4]))
def test_no_text_makes_the_check_fail_or_wait(path: str, text: str) -> None:
    begun = time.process_time()
    assert isinstance(judged(text, path), list)
    assert time.process_time() - begun < 3


@often
@given(st.text(max_size=200))
def test_any_text_is_judged(text: str) -> None:
    for answer in WINDOWS.family.answers:
        judged(text, answer.path)


def test_our_own_files_are_judged_in_good_time() -> None:
    made = files(users=[{"name": f"u{i}", "ssh_keys": [KEY]} for i in range(60)])
    begun = time.process_time()
    for path, text in made.items():
        assert judged(text, path) == []
    assert time.process_time() - begun < 1


# --- in Windows PE ----------------------------------------------------------------------------

PLAYER = Path(__file__).parent.parent / "support" / "windows_pe.js"
NODE = shutil.which("node")
in_windows_pe = pytest.mark.skipif(NODE is None, reason="Node.js plays Windows PE; it is not here")
DRIVE = {
    "Index": 0, "Size": "100027630080", "SerialNumber": "  S3Z9NB0K ", "Model": "Disk \"A\"",
    "MediaType": "Fixed hard disk media", "InterfaceType": "SCSI", "PNPDeviceID": "SCSI\\DISK&VEN_A\\4",
}  # fmt: skip
STICK = {**DRIVE, "Index": 1, "MediaType": "Removable Media", "InterfaceType": "USB"}
PROCEED = (
    '{"action":"proceed","disk":{"name":"PhysicalDrive%d"},"disks":[{"name":"PhysicalDrive%d"}]}'
)


def play(host: Any = HOST, profile: Any = None, **world: Any) -> dict[str, Any]:
    """What deployer.js does on a machine like this."""
    made = files(host, **(profile or {}))
    seen = {
        "script": made["deployer.js"], "macs": [MAC.upper()], "uefi": True, "drives": [DRIVE, STICK],
        "answers": {"disks": [200, PROCEED % (0, 0)]},
        "sizes": {"sources/install.wim": 4700000000, "netkvm.inf": 4000, "netkvm.sys": 90000},
        "images": [["ServerStandard", "Server Core"], ["ServerStandard", "Server"]],
        **world,
    }  # fmt: skip
    done = subprocess.run(
        [NODE or "", str(PLAYER)],
        input=json.dumps(seen),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def calls(done: dict[str, Any]) -> list[str]:
    """What the server heard, progress by its stage."""
    heard = []
    for url, body in done["calls"]:
        name = url.rsplit("/", 1)[-1]
        heard.append(json.loads(body)["stage"] if name == "progress" else name)
    return heard


def failure(done: dict[str, Any]) -> str:
    (body,) = [body for url, body in done["calls"] if url.endswith("/installer_failed")]
    return str(json.loads(body)["message"])


def wrote(done: dict[str, Any]) -> bool:
    return "diskpart" in done["scripts"]


@in_windows_pe
def test_an_installation_runs_from_the_first_call_to_the_restart() -> None:
    done = play()
    assert calls(done) == [
        "installer_started", "disks", "disks", "partitioning", "writing", "bootloader", "configuring",
        "finishing", "installer_finished",
    ]  # fmt: skip
    own = [line for line in done["commands"] if not line.startswith("curl.exe -s -m")]
    assert own[:6] == [
        "diskpart.exe /s X:\\deployer\\diskpart.txt",
        "curl.exe -s -S -f -C - --create-dirs --retry 10 --retry-delay 5 --retry-connrefused"
        ' --speed-limit 1000 --speed-time 60 -o "W:\\deployer\\install.wim"'
        ' "http://10.0.0.5:8081/images/windows-server-2025-x86_64/sources/install.wim"',
        *(f"dism.exe /English /Get-ImageInfo /ImageFile:W:\\deployer\\install.wim /Index:{i}" for i in (1, 2, 3)),
        "dism.exe /English /Apply-Image /ImageFile:W:\\deployer\\install.wim /Index:2 /ApplyDir:W:\\"
        " /Verify /ScratchDir:W:\\deployer\\",
    ]  # fmt: skip
    assert own[6] == "W:\\Windows\\System32\\bcdboot.exe W:\\Windows /s S: /f UEFI"
    assert own[-3:] == [
        "dism.exe /English /Image:W:\\ /Add-Driver /Driver:W:\\deployer\\drivers /Recurse",
        "rmdir /s /q W:\\deployer", "wpeutil.exe reboot",
    ]  # fmt: skip
    assert done["stopped"] == "reboot"


@in_windows_pe
def test_the_server_hears_of_every_disk_what_windows_knows() -> None:
    storage = {
        "MSFT_Disk": [{"Number": 0, "BusType": 11, "UniqueId": "5000C500A1B2C3D4", "UniqueIdFormat": 3, "IsReadOnly": False}],
        "MSFT_PhysicalDisk": [{"DeviceId": "0", "MediaType": 4}],
    }  # fmt: skip
    done = play(storage=storage, partitions=[{"DiskIndex": 0, "Type": "GPT: Basic Data"}])
    (body,) = [body for url, body in done["calls"] if url.endswith("/disks")]
    first, second = json.loads(body)["disks"]
    assert first == {
        "name": "PhysicalDrive0", "path": "PhysicalDrive0", "size": 100027630080, "serial": "S3Z9NB0K",
        "wwn": "0x5000c500a1b2c3d4", "model": 'Disk "A"', "type": "ssd", "transport": "sata",
        "removable": False, "read_only": False, "contents": ["GPT: Basic Data"],
    }  # fmt: skip
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
            f"select disk {number}", "attributes disk clear readonly noerr",
        ]  # fmt: skip


@in_windows_pe
def test_a_machine_with_bios_gets_an_active_partition() -> None:
    done = play(uefi=False)
    assert done["scripts"]["diskpart"] == [
        "select disk 0", "attributes disk clear readonly noerr", "online disk noerr", "clean",
        "create partition primary size=500", 'format quick fs=ntfs label="System"', "assign letter=S",
        "active", "create partition primary", "shrink minimum=1024",
        'format quick fs=ntfs label="Windows"', "assign letter=W", "create partition primary",
        'format quick fs=ntfs label="Recovery"', "assign letter=R", "set id=27",
    ]  # fmt: skip
    assert any(line.endswith("/s S: /f BIOS") for line in done["commands"])


NOTHING_WRITTEN: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"macs": [SECOND]}, "none of this machine's NICs is one of the host's; it has 52:54:00:12:34:57"),
    ({}, {"macs": []}, "it has none"),
    ({"serial": "A1"}, {"serial": "B2"}, "the serial of this machine is B2"),
    ({"uuid": "4c4c4544-0044-4810-8058-c4c04f4b3232"}, {"uuid": "5C4C4544-0044-4810-8058-C4C04F4B3232"}, "the UUID of this machine is 5C4C4544"),
    ({}, {"answers": {"disks": [500, "no"]}}, "the server does not say which disk"),
    ({}, {"answers": {"disks": [0, ""]}}, "the server does not say which disk"),
    ({}, {"answers": {"disks": [200, '{"action":"proceed","disks":[]}']}}, "the server names 0 disks"),
    ({}, {"answers": {"disks": [200, '{"action":"proceed","disks":[{"name":"PhysicalDrive0"},{"name":"PhysicalDrive1"}]}']}}, "the server names 2 disks"),
    ({}, {"no_wmi": True}, "deployer.js broke off: Automation server can't create object"),
]  # fmt: skip


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
    ("diskpart.exe", "partitioning"), ("install.wim", "retrieving"), ("/Apply-Image", "writing"),
    ("bcdboot.exe", "bootloader"), ("Panther\\unattend.xml", "configuring"),
    ("/Add-Driver", "configuring"),
]  # fmt: skip


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
        ([["ServerStandard", "Server Core"]], "0 images are ServerStandard, Server. The medium holds 1: ServerStandard, Server Core"),
        ([["ServerStandard", "Server"]] * 2, "2 images are ServerStandard, Server"),
        ([], "The medium holds none"),
    ],
)  # fmt: skip
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
        HOST, {"release": "server-2019"},
        sizes={"sources/install.swm": 3900000000, "sources/install2.swm": 800000000},
    )  # fmt: skip
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


def test_lints_know_every_file_that_is_no_xml() -> None:
    suffixes = {Path(a.path).suffix for a in WINDOWS.family.answers if a.format != "xml"}
    assert suffixes == set(scripts.LINTS)
    assert INSTALLER.check(Answer(path="x.y", template="t"), "a", {}) == []
