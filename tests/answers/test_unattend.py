"""unattend.xml: what Windows Setup would stop at, skip or ask about is found, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.answers.installers.windows_setup import password
from tests.support.windows import files, judged

TOKEN = 'publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS"'


def part(name: str, inner: str, arch: str = "amd64") -> str:
    return (
        f'<component name="Microsoft-Windows-{name}" processorArchitecture="{arch}" {TOKEN}>\n'
        f"{inner}\n</component>\n"
    )


def document(*passes: tuple[str, str]) -> str:
    inner = "".join(f'<settings pass="{name}">\n{parts}</settings>\n' for name, parts in passes)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<unattend xmlns="urn:schemas-microsoft-com:unattend"'
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


def specialized(inner: str) -> str:
    """Line 4 is the component, 5 what it holds."""
    return document(("specialize", part("Deployment", inner) + NAME), ("oobeSystem", WELCOME))


def special(parts: str) -> str:
    """Line 4 is the first component."""
    return document(("specialize", parts), ("oobeSystem", WELCOME))


def welcome(parts: str) -> str:
    """Line 8 is the first component of oobeSystem."""
    return document(("specialize", NAME), ("oobeSystem", parts))


def run(order: str, path: str, action: str = ' wcm:action="add"') -> str:
    inner = f"<Order>{order}</Order><Path>{path}</Path>"
    return f"<RunSynchronousCommand{action}>{inner}</RunSynchronousCommand>"


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
    ("<root/>", 1, "the root is {}root, not unattend"),
    ("<unattend/>", 1, "not unattend in the namespace urn:schemas-microsoft-com:unattend"),
    ("<a>" + "<b/>" * 20_001 + "</a>", 1, "more elements than any answer file"),
    ("<a b:c='d'/>", 1, "it is no XML: unbound prefix"),
    (special("<x/>" + NAME), 4, "x: only components stand in settings"),
    (special(NAME).replace("</unattend>", "<x/></unattend>"), 16, "x: only settings stand in"),
    (special(part("Shell-Setup", "<TimeZone><x/></TimeZone>")), 5, "TimeZone has elements in it"),
    (document(("specialise", NAME)), 3, "there is no pass 'specialise'"),
    (
        document(("specialize", NAME), ("specialize", NAME), ("oobeSystem", WELCOME)),
        8,
        "the pass specialize stands in line 3 already",
    ),
    (
        special(NAME + NAME),
        7,
        "Microsoft-Windows-Shell-Setup stands in line 4 of specialize already",
    ),
    (
        special(NAME + part("Setup", "")),
        7,
        "Microsoft-Windows-Setup is not read in specialize, but in windowsPE",
    ),
    (special(NAME + part("Shell-Setupp", "")), 7, "no component of Windows that is known here"),
    (special(NAME.replace("nonSxS", "sxs")), 4, 'needs versionScope="nonSxS"'),
    (special(NAME.replace("31bf", "41bf")), 4, 'needs publicKeyToken="31bf3856ad364e35"'),
    (special(NAME.replace("neutral", "en-us")), 4, 'needs language="neutral"'),
    (special(NAME + part("TCPIP", "", "x64")), 7, "there is no processorArchitecture 'x64'"),
    (
        document(
            ("specialize", NAME),
            ("offlineServicing", part("LUA-Settings", "", "x86")),
            ("oobeSystem", WELCOME),
        ),
        8,
        "offlineServicing holds nothing for amd64",
    ),
    (specialized("<Nothing/>"), 5, "Deployment/Nothing: Windows has no such setting here"),
    (specialized("text"), 4, "Deployment has text between its elements: 'text'"),
    (commands(run("1", "a"), run("1", "b")), 7, "Order 1 stands in line 6 already"),
    (commands(run("2", "a")), 5, "the first Order must be 1"),
    (commands(run("x", "a")), 6, "Order must be a number from 1 to 500, not 'x'"),
    (commands(run("1", "a", "")), 6, 'needs wcm:action="add"'),
    (commands(run("1", "a" * 260)), 6, "Path must be 1 to 259 characters"),
    (
        commands(
            '<RunSynchronousCommand wcm:action="add"><Order>1</Order></RunSynchronousCommand>'
        ),
        6,
        "RunSynchronousCommand lacks Path",
    ),
    (
        commands(run("1", "a").replace("<Order>1</Order>", "<Order>1</Order><Order>2</Order>")),
        6,
        "Order stands in line 6 already",
    ),
    (
        special(part("Shell-Setup", "<ComputerName>web_server_number_1</ComputerName>")),
        5,
        "must be a computer's name: at most 15",
    ),
    (
        special(part("Shell-Setup", "<ComputerName>db</ComputerName>")),
        4,
        "would be called db, and verified as web01",
    ),
    (document(("oobeSystem", WELCOME)), None, "would be called a name that it makes up"),
    (
        welcomed(OOBE + ACCOUNT.replace("false", "true")),
        13,
        "UserAccounts/AdministratorPassword is in the clear",
    ),
    (welcomed(OOBE + ACCOUNT.replace("<PlainText>false</PlainText>", "")), 13, "is in the clear"),
    (welcomed(OOBE), 12, "no account that Windows is content with"),
    (
        welcomed(OOBE.replace("<HideEULAPage>true</HideEULAPage>", "") + ACCOUNT),
        12,
        "OOBE/HideEULAPage is not true",
    ),
    (
        welcomed(OOBE.replace("<ProtectYourPC>3</ProtectYourPC>", "") + ACCOUNT),
        12,
        "OOBE/ProtectYourPC is not 1 or 2 or 3",
    ),
    (
        welcomed(OOBE.replace("3", "4") + ACCOUNT),
        13,
        "OOBE/ProtectYourPC must be a number from 1 to 3",
    ),
    (
        welcomed(
            OOBE.replace("</OOBE>", "<SkipMachineOOBE>true</SkipMachineOOBE></OOBE>") + ACCOUNT
        ),
        13,
        "SkipMachineOOBE leaves settings undone",
    ),
    (
        welcome(WELCOME.replace("UILanguage", "UILanguageFallback")),
        9,
        "International-Core/UILanguage is not set",
    ),
    (
        welcome(part("Shell-Setup", OOBE + ACCOUNT)),
        None,
        "International-Core/InputLocale is not set in oobeSystem",
    ),
    (
        in_pe("Setup", "<RunSynchronous>" + run("1", "cmd /c dir") + "</RunSynchronous>"),
        5,
        "no command of windowsPE is run",
    ),
    (
        in_pe(
            "Setup",
            "<RunAsynchronous>" + run("1", "x").replace("Syn", "Asyn") + "</RunAsynchronous>",
        ),
        5,
        "no command of windowsPE is run",
    ),
    (
        in_pe(
            "Setup",
            "<UserData><ProductKey><Key>VK7JG-NPHTM-C97JM-9MPGT-3V66T</Key></ProductKey></UserData>",
        ),
        5,
        "no key is read in windowsPE",
    ),
    (
        in_pe("Setup", "<UserData><ProductKey><Key>1234</Key></ProductKey></UserData>"),
        5,
        "Key must be a product key",
    ),
    (
        in_pe(
            "Setup",
            '<ImageInstall><OSImage><InstallFrom><MetaData wcm:action="add"><Key>/IMAGE/INDEX'
            "</Key><Value>2</Value></MetaData></InstallFrom></OSImage></ImageInstall>",
        ),
        5,
        "the image is not chosen here",
    ),
    (
        in_pe(
            "Setup",
            '<DiskConfiguration><Disk wcm:action="add"><WillWipeDisk>true</WillWipeDisk></Disk>'
            "</DiskConfiguration>",
        ),
        5,
        "Disk lacks DiskID",
    ),
    (
        in_pe("International-Core-WinPE", "<UILanguage>english</UILanguage>"),
        5,
        "UILanguage must be a locale",
    ),
]


@pytest.mark.parametrize(("text", "line", "words"), BROKEN, ids=lambda v: str(v)[-60:])
def test_what_setup_would_stumble_over_is_found_with_its_line(
    text: str, line: int | None, words: str
) -> None:
    found = judged(text)
    assert any(where == line and words in message for where, message in found), found
    assert all(message.startswith("unattend.xml") for _, message in found)


@pytest.mark.parametrize(
    "words", ["HideOnlineAccountScreens", "HideWirelessSetupInOOBE", "no account"]
)
def test_a_client_is_asked_for_more(words: str) -> None:
    found = judged(document(("specialize", NAME), ("oobeSystem", WELCOME)), release="11")
    assert any(words in message for _, message in found)


def test_a_file_for_another_processor_is_no_file() -> None:
    text = document(("specialize", NAME), ("oobeSystem", WELCOME))
    found = judged(text, release="11", arch="arm64")
    assert any("specialize holds nothing for arm64" in message for _, message in found)


@pytest.mark.parametrize("name", ["from-a-web-form", "from-an-image-builder"])
def test_real_files_of_others_pass_with_our_command_added(name: str) -> None:
    """Written as such projects write them: all passes, LabConfig, AutoLogon, first commands."""
    content = (Path(__file__).parent / "unattend" / f"{name}.xml").read_text(encoding="utf-8")
    release = "11" if "LabConfig" in content else "server-2022"
    made = files(release=release, answer_files={"unattend.xml": {"content": content}})
    assert made["unattend.xml"] == content
