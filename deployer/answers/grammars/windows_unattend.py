"""unattend.xml: which component a pass has, what stands in it, and in which form.

Microsoft publishes no schema of it (Windows SIM reads one out of an image), so this is our own,
from the "Unattended Windows Setup Reference": the components that answer files use, whole; of the
others, in which passes they are read. Setup stops, or asks, at what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

NAMESPACE = "urn:schemas-microsoft-com:unattend"
_WCM = "http://schemas.microsoft.com/WMIConfig/2002/State"
_TOKEN = "31bf3856ad364e35"
PASSES = (
    "windowsPE", "offlineServicing", "generalize", "specialize", "auditSystem", "auditUser",
    "oobeSystem",
)  # fmt: skip
# (line or None, what is wrong)
Problem = tuple[int | None, str]


@dataclass
class Node:
    """An element; names without our namespace, and others as `{NAMESPACE}name`."""

    name: str
    line: int
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    text: str = ""

    def child(self, name: str) -> Node | None:
        return next((each for each in self.children if each.name == name), None)

    def find(self, path: str) -> list[Node]:
        """All elements at `A/B/C` below this one."""
        found = [self]
        for part in path.split("/"):
            found = [each for node in found for each in node.children if each.name == part]
        return found

    def value(self, path: str) -> str | None:
        found = self.find(path)
        return found[0].text.strip() if found else None


class Unreadable(Exception):
    """No well-formed XML, or more than an answer file needs."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


_DEEPEST, _MOST = 40, 20_000


def read(text: str) -> Node:
    """The root. A document type is refused: it could name files, and entities without end."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    root = Node("", 0, {})
    open_, count = [root], 0

    def refuse(*_: object) -> None:
        raise Unreadable(
            parser.CurrentLineNumber, "it has a document type (DOCTYPE), which nothing needs here"
        )

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(open_) > _DEEPEST or count > _MOST:
            raise Unreadable(parser.CurrentLineNumber, "it has more elements than any answer file")
        attributes = {_attribute(key): value for key, value in attributes.items()}
        node = Node(_local(name), parser.CurrentLineNumber, attributes)
        open_[-1].children.append(node)
        open_.append(node)

    def end(_: str) -> None:
        open_.pop()

    def characters(data: str) -> None:
        open_[-1].text += data

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        raise Unreadable(error.lineno, f"it is no XML: {expat.ErrorString(error.code)}") from None
    except (ValueError, LookupError) as error:  # an encoding that nobody knows
        raise Unreadable(1, f"it is no XML: {error}") from None
    return root.children[0]


def _local(name: str) -> str:
    namespace, _, local = name.rpartition(" ")
    return local if namespace == NAMESPACE else f"{{{namespace}}}{local}"


def _attribute(name: str) -> str:
    """Attributes have no namespace but for wcm:action and wcm:keyValue."""
    namespace, _, local = name.rpartition(" ")
    return f"wcm:{local}" if namespace == _WCM else local


# --- the grammar ------------------------------------------------------------------------------

# What is wrong with an element, if anything; it gets the element and the names on the way to it.
Rule = Callable[[Node, str], Iterator[Problem]]


def _leaf(fits: Callable[[str], bool], words: str) -> Rule:
    def rule(node: Node, path: str) -> Iterator[Problem]:
        if node.children:
            yield node.line, f"{path} has elements in it, and must be {words}"
        elif not fits(node.text.strip()):
            shown = node.text.strip()[:60]
            yield node.line, f"{path} must be {words}, not {shown!r}"

    return rule


def _matching(pattern: str, words: str) -> Rule:
    compiled = re.compile(pattern, re.ASCII)
    return _leaf(lambda text: compiled.fullmatch(text) is not None, words)


def _one_of(*words: str) -> Rule:
    return _leaf(lambda text: text in words, " or ".join(words))


def _number(least: int, most: int) -> Rule:
    return _leaf(
        lambda text: re.fullmatch(r"[0-9]{1,10}", text) is not None and least <= int(text) <= most,
        f"a number from {least} to {most}",
    )


def _text(most: int = 4096, least: int = 0) -> Rule:
    return _leaf(lambda text: least <= len(text) <= most, f"{least} to {most} characters")


def _group(fields: dict[str, Rule], required: tuple[str, ...] = ()) -> Rule:
    """Elements by name, each once but for those of a list (`_many`)."""

    def rule(node: Node, path: str) -> Iterator[Problem]:
        if node.text.strip():
            yield node.line, f"{path} has text between its elements: {node.text.strip()[:40]!r}"
        seen: dict[str, int] = {}
        for each in node.children:
            yield from _known(each, path, fields, seen)
        for name in required:
            if name not in seen:
                yield node.line, f"{path} lacks {name}"

    return rule


def _known(
    each: Node, path: str, fields: dict[str, Rule], seen: dict[str, int]
) -> Iterator[Problem]:
    here = f"{path}/{each.name}"
    found = fields.get(each.name)
    if found is None:
        yield each.line, f"{here}: Windows has no such setting here"
        return
    is_list = isinstance(found, _Many)
    if each.name in seen and not is_list:
        yield each.line, f"{here} stands in line {seen[each.name]} already"
    seen[each.name] = each.line
    if is_list and each.attributes.get("wcm:action") != "add":
        yield each.line, f'{here} is an item of a list and needs wcm:action="add"'
    yield from found(each, here)


@dataclass(frozen=True)
class _Many:
    """An item of a list."""

    rule: Rule

    def __call__(self, node: Node, path: str) -> Iterator[Problem]:
        yield from self.rule(node, path)


def _list(item: str, rule: Rule, *, key: str | None = None) -> Rule:
    """A list of `item`; `key` is an element that differs in each, from 1 on where it is Order."""
    whole = _group({item: _Many(rule)})

    def check(node: Node, path: str) -> Iterator[Problem]:
        yield from whole(node, path)
        seen: dict[str, int] = {}
        for each in node.find(f"{item}/{key}") if key else []:
            word = each.text.strip()
            if word in seen:
                yield each.line, f"{path}/{item}/{key} {word} stands in line {seen[word]} already"
            seen[word] = each.line
        if key == "Order" and seen and "1" not in seen:
            yield node.line, f"{path}: the first Order must be 1"

    return check


BOOLEAN = _one_of("true", "false")
_ANY: Rule = lambda node, path: iter(())  # noqa: E731
_SHOW = _one_of("Always", "Never", "OnError")
_KEY = _matching(
    r"[A-Za-z0-9]{5}(-[A-Za-z0-9]{5}){4}", "a product key of five times five characters"
)
_KEY_OR_NOTHING = _matching(
    r"([A-Za-z0-9]{5}(-[A-Za-z0-9]{5}){4})?",
    "a product key of five times five characters, or nothing",
)
_LOCALE = _matching(
    r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}|[0-9A-Fa-f]{4}", "a locale such as de-CH"
)
_INPUT = _matching(
    r"([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){1,3}|[0-9A-Fa-f]{4}:[0-9A-Fa-f]{8}"
    r"|[0-9A-Fa-f]{4}:\{[0-9A-Fa-f-]{36}\}\{[0-9A-Fa-f-]{36}\})"
    r"(;([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){1,3}|[0-9A-Fa-f]{4}:[0-9A-Fa-f]{8}))*",
    "a locale or a layout such as 0807:00000807",
)  # fmt: skip
_COMPUTER = _leaf(
    lambda text: text == "*" or (
        0 < len(text) <= 15 and not text.isdigit()
        and not re.search(r"[\s{|}~\[\\\]^':;<=>?@!\"#$%`()+/.,*&]", text)
    ),
    "a computer's name: at most 15 characters, not digits alone, no blanks and none of"
    " { | } ~ [ \\ ] ^ ' : ; < = > ? @ ! \" # $ % ` ( ) + / . , * &",
)  # fmt: skip
# "The maximum length is 259 characters": RunSynchronousCommand and RunAsynchronousCommand, Path.
_COMMAND = _text(259, 1)
_CREDENTIALS = _group({"Domain": _text(), "Username": _text(), "Password": _text()})


def _password(node: Node, path: str) -> Iterator[Problem]:
    yield from _group({"Value": _text(1024), "PlainText": BOOLEAN}, ("Value",))(node, path)
    if node.value("PlainText") != "false" and node.value("Value"):
        way = f"write PlainText false and base64 of UTF-16LE of the password and {node.name!r}"
        hidden = "which hides it from a glance alone; or leave it to the profile"
        yield node.line, f"{path} is in the clear; {way}, {hidden}"


_RUN_SYNCHRONOUS = _list("RunSynchronousCommand", _group({
    "Order": _number(1, 500), "Path": _COMMAND, "Description": _text(), "Credentials": _CREDENTIALS,
    "WillReboot": _one_of("Always", "Never", "OnRequest"),
}, ("Order", "Path")), key="Order")  # fmt: skip
_RUN_ASYNCHRONOUS = _list("RunAsynchronousCommand", _group({
    "Order": _number(1, 500), "Path": _COMMAND, "Description": _text(), "Credentials": _CREDENTIALS,
}, ("Order", "Path")), key="Order")  # fmt: skip
_LANGUAGES: dict[str, Rule] = {
    "InputLocale": _INPUT, "SystemLocale": _LOCALE, "UILanguage": _LOCALE,
    "UILanguageFallback": _LOCALE, "UserLocale": _LOCALE,
}  # fmt: skip
_DISK = _group({
    "DiskID": _number(0, 99), "WillWipeDisk": BOOLEAN,
    "CreatePartitions": _list("CreatePartition", _group({
        "Order": _number(1, 128), "Size": _number(1, 10**9), "Extend": BOOLEAN,
        "Type": _one_of("Primary", "EFI", "Extended", "Logical", "MSR"),
    }, ("Order", "Type")), key="Order"),
    "ModifyPartitions": _list("ModifyPartition", _group({
        "Order": _number(1, 128), "PartitionID": _number(1, 128), "Active": BOOLEAN,
        "Extend": BOOLEAN, "Format": _one_of("NTFS", "FAT32"), "Label": _text(32),
        "Letter": _matching("[C-Zc-z]", "a letter from C to Z"),
        "TypeID": _matching(
            r"0x[0-9A-Fa-f]{2}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", "0x27 or a GUID"
        ),
    }, ("Order", "PartitionID")), key="Order"),
}, ("DiskID",))  # fmt: skip
_FROM = _group({
    "Path": _text(), "Credentials": _CREDENTIALS,
    "MetaData": _Many(_group({
        "Key": _matching(
            r"/IMAGE/(NAME|INDEX|DESCRIPTION|DISPLAYNAME|DISPLAYDESCRIPTION)",
            "/IMAGE/NAME or /IMAGE/INDEX",
        ),
        "Value": _text(256, 1),
    }, ("Key", "Value"))),
})  # fmt: skip
_TO = _group({"DiskID": _number(0, 99), "PartitionID": _number(1, 128)}, ("DiskID", "PartitionID"))
_OS_IMAGE = _group({
    "InstallFrom": _FROM, "InstallTo": _TO, "InstallToAvailablePartition": BOOLEAN,
    "Compact": BOOLEAN, "WillShowUI": _SHOW,
})  # fmt: skip
_SETUP = _group({
    "DiskConfiguration": _group({
        "Disk": _Many(_DISK), "WillShowUI": _SHOW, "DisableEncryptedDiskProvisioning": BOOLEAN,
    }),
    "ImageInstall": _group({"OSImage": _OS_IMAGE, "DataImage": _Many(_ANY)}),
    "UserData": _group({
        "AcceptEula": BOOLEAN, "FullName": _text(63), "Organization": _text(63),
        "ProductKey": _group({"Key": _KEY_OR_NOTHING, "WillShowUI": _SHOW}),
    }),
    "RunSynchronous": _RUN_SYNCHRONOUS, "RunAsynchronous": _RUN_ASYNCHRONOUS,
    "ComplianceCheck": _group({"DisplayReport": _SHOW}), "Diagnostics": _group({"OptIn": BOOLEAN}),
    "DynamicUpdate": _group({"Enable": BOOLEAN, "WillShowUI": _SHOW}),
    "UpgradeData": _group({"Upgrade": BOOLEAN, "WillShowUI": _SHOW}),
    "Display": _ANY, "PageFile": _ANY, "WindowsDeploymentServices": _ANY, "EnableFirewall": BOOLEAN,
    "EnableNetwork": BOOLEAN, "LogPath": _text(), "Restart": _one_of("Restart", "Shutdown"),
    "UseConfigurationSet": BOOLEAN,
})  # fmt: skip
_OOBE = _group({
    "HideEULAPage": BOOLEAN, "HideLocalAccountScreen": BOOLEAN,
    "HideOEMRegistrationScreen": BOOLEAN, "HideOnlineAccountScreens": BOOLEAN,
    "HideWirelessSetupInOOBE": BOOLEAN,
    "NetworkLocation": _one_of("Home", "Work", "Other"), "ProtectYourPC": _number(1, 3),
    "SkipMachineOOBE": BOOLEAN, "SkipUserOOBE": BOOLEAN, "UnattendEnableRetailDemo": BOOLEAN,
    "OEMAppId": _text(), "VMModeOptimizations": _ANY,
})  # fmt: skip
_ACCOUNTS = _group({
    "AdministratorPassword": _password, "DomainAccounts": _ANY,
    "LocalAccounts": _list("LocalAccount", _group({
        "Name": _matching(
            r"(?![. ]*\Z)[^\"/\\\[\]:;|=,+*?<>]{1,20}",
            "a name of at most 20 characters, none of \" / \\ [ ] : ; | = , + * ? < >",
        ),
        "Group": _text(256), "DisplayName": _text(256), "Description": _text(256),
        "Password": _password,
    }, ("Name", "Password")), key="Name"),
})  # fmt: skip
_FIRST_LOGON = _list("SynchronousCommand", _group({
    "Order": _number(1, 500), "CommandLine": _text(1024, 1), "Description": _text(),
    "RequiresUserInput": BOOLEAN,
}, ("Order", "CommandLine")), key="Order")  # fmt: skip
_LOGON = _list("AsynchronousCommand", _group({
    "Order": _number(1, 500), "CommandLine": _text(1024, 1), "Description": _text(),
    "RequiresUserInput": BOOLEAN,
}, ("Order", "CommandLine")), key="Order")  # fmt: skip
_SHELL = _group({
    "ComputerName": _COMPUTER, "TimeZone": _text(256, 1), "ProductKey": _KEY,
    "RegisteredOwner": _text(256),
    "RegisteredOrganization": _text(256), "OOBE": _OOBE, "UserAccounts": _ACCOUNTS,
    "AutoLogon": _group({
        "Enabled": BOOLEAN, "LogonCount": _number(0, 9999999), "Username": _text(256, 1),
        "Domain": _text(256), "Password": _password,
    }),
    "FirstLogonCommands": _FIRST_LOGON, "LogonCommands": _LOGON,
    "BluetoothTaskbarIconEnabled": BOOLEAN,
    "ConvertibleSlateModePromptPreference": _ANY, "CopyProfile": BOOLEAN,
    "DisableAutoDaylightTimeSet": BOOLEAN, "Display": _ANY, "DoNotCleanTaskBar": BOOLEAN,
    "FolderLocations": _ANY, "NotificationArea": _ANY, "OEMInformation": _ANY,
    "OEMName": _text(256), "OfflineUserAccounts": _ANY, "ShowPowerButtonOnStartScreen": BOOLEAN,
    "ShowWindowsLive": BOOLEAN,
    "SignInMode": _number(0, 2), "StartPanelOff": BOOLEAN, "StartTiles": _ANY, "TaskbarLinks": _ANY,
    "Themes": _ANY, "VisualEffects": _ANY, "WindowsFeatures": _ANY, "DesktopOptimization": _ANY,
    "ClientApplications": _ANY, "EnableStartMenu": BOOLEAN, "AutoLogonOffline": _ANY,
})  # fmt: skip
_IDENTIFIER = _text(256, 1)
_ADDRESSES = _group({"IpAddress": _Many(_matching(
    r"[0-9.]{7,15}(/[0-9]{1,2})?|[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?",
    "an address such as 10.0.0.7/24",
))})  # fmt: skip
_PROTOCOL = _group(
    {"DhcpEnabled": BOOLEAN, "Metric": _number(0, 9999), "RouterDiscoveryEnabled": BOOLEAN}
)
_TCPIP = _group({
    "Interfaces": _list("Interface", _group({
        "Identifier": _IDENTIFIER, "Ipv4Settings": _PROTOCOL, "Ipv6Settings": _PROTOCOL,
        "UnicastIpAddresses": _ADDRESSES,
        "Routes": _list("Route", _group({
            "Identifier": _number(0, 9999), "Prefix": _text(64, 1), "NextHopAddress": _text(64, 1),
            "Metric": _number(0, 9999),
        }, ("Identifier", "Prefix")), key="Identifier"),
    }, ("Identifier",)), key="Identifier"),
    "IcmpRedirectsEnabled": BOOLEAN,
})  # fmt: skip
_DNS = _group({
    "DNSDomain": _text(255), "DNSSuffixSearchOrder": _group({"DomainName": _Many(_text(255, 1))}),
    "UseDomainNameDevolution": BOOLEAN,
    "Interfaces": _list("Interface", _group({
        "Identifier": _IDENTIFIER, "DNSDomain": _text(255), "DNSServerSearchOrder": _ADDRESSES,
        "DisableDynamicUpdate": BOOLEAN, "EnableAdapterDomainNameRegistration": BOOLEAN,
    }, ("Identifier",)), key="Identifier"),
})  # fmt: skip
_DRIVERS = _group({"DriverPaths": _list("PathAndCredentials", _group({
    "Path": _text(4096, 1), "Credentials": _CREDENTIALS,
}, ("Path",)))})  # fmt: skip
_JOIN = _group({"Identification": _group({
    "Credentials": _CREDENTIALS, "DebugJoin": BOOLEAN, "DebugJoinOnlyOnThisError": _ANY,
    "JoinDomain": _text(),
    "JoinWorkgroup": _text(15), "MachineObjectOU": _text(), "MachinePassword": _text(),
    "Provisioning": _ANY, "TimeoutPeriodInMinutes": _number(0, 999), "UnsecureJoin": BOOLEAN,
})})  # fmt: skip

# Passes in which a component is read, and its grammar; None: not looked into.
COMPONENTS: dict[str, tuple[str, Rule | None]] = {
    "Microsoft-Windows-International-Core-WinPE": ("windowsPE", _group({
        **_LANGUAGES, "LayeredDriver": _number(1, 6),
        "SetupUILanguage": _group({"UILanguage": _LOCALE, "WillShowUI": _SHOW}, ("UILanguage",)),
    })),
    "Microsoft-Windows-Setup": ("windowsPE", _SETUP),
    "Microsoft-Windows-PnpCustomizationsWinPE": ("windowsPE", _DRIVERS),
    "Microsoft-Windows-PnpCustomizationsNonWinPE": ("offlineServicing auditSystem", _DRIVERS),
    "Microsoft-Windows-LUA-Settings": ("offlineServicing", _group({"EnableLUA": BOOLEAN})),
    "Microsoft-Windows-International-Core": ("specialize oobeSystem", _group(_LANGUAGES)),
    "Microsoft-Windows-Shell-Setup": (
        "windowsPE offlineServicing generalize specialize auditSystem auditUser oobeSystem", _SHELL,
    ),
    "Microsoft-Windows-Deployment": (
        "generalize specialize auditSystem auditUser oobeSystem",
        _group({
            "RunSynchronous": _RUN_SYNCHRONOUS, "RunAsynchronous": _RUN_ASYNCHRONOUS,
            "Reseal": _ANY, "Generalize": _ANY, "ExtendOSPartition": _ANY,
        }),
    ),
    "Microsoft-Windows-TCPIP": ("windowsPE specialize", _TCPIP),
    "Microsoft-Windows-DNS-Client": ("windowsPE specialize", _DNS),
    "Microsoft-Windows-UnattendedJoin": ("offlineServicing specialize", _JOIN),
    "Microsoft-Windows-TerminalServices-LocalSessionManager": (
        "offlineServicing generalize specialize", _group({"fDenyTSConnections": BOOLEAN}),
    ),
    "Networking-MPSSVC-Svc": ("specialize", None),
    "Security-Malware-Windows-Defender": ("offlineServicing specialize oobeSystem", None),
    "Microsoft-Windows-TerminalServices-RDP-WinStationExtensions": ("generalize specialize", None),
    "Microsoft-Windows-TerminalServices-RemoteConnectionManager": (
        "offlineServicing generalize specialize", None,
    ),
    "Microsoft-Windows-ServerManager-SvrMgrNc": ("generalize specialize", None),
    "Microsoft-Windows-OutOfBoxExperience": ("generalize specialize", None),
    "Microsoft-Windows-IE-ESC": ("specialize", None),
    "Microsoft-Windows-IE-InternetExplorer": ("specialize", None),
    "Microsoft-Windows-IE-ClientNetworkProtocolImplementation": ("oobeSystem", None),
    "Microsoft-Windows-Security-SPP": ("generalize", None),
    "Microsoft-Windows-Security-SPP-UX": ("specialize", None),
    "Microsoft-Windows-SQMAPI": ("specialize", None),
    "Microsoft-Windows-SMBServer": ("generalize", None),
    "Microsoft-Windows-SNMP-Agent-Service": ("generalize specialize", None),
    "Microsoft-Windows-SystemRestore-Main": ("specialize", None),
    "Microsoft-Windows-SecureStartup-FilterDriver": (
        "offlineServicing specialize auditSystem oobeSystem", None,
    ),
    "Microsoft-Windows-ErrorReportingCore": ("specialize", None),
    "Microsoft-Windows-PowerCPL": ("generalize specialize", None),
    "Microsoft-Windows-PnpSysprep": ("generalize specialize", None),
    "Microsoft-Windows-PartitionManager": ("offlineServicing", None),
    "Microsoft-Windows-CodeIntegrity": ("offlineServicing", None),
    "Microsoft-Windows-DeviceGuard-Unattend": ("offlineServicing", None),
    "Microsoft-Windows-NetBT": ("specialize", None),
    "Microsoft-Windows-RemoteAssistance-Exe": ("specialize", None),
    "Microsoft-Windows-WinRE-RecoveryAgent": ("oobeSystem", None),
    "Microsoft-Windows-WLANSVC": ("offlineServicing windowsPE specialize oobeSystem", None),
    "Microsoft-Windows-WorkstationService": ("generalize specialize", None),
}  # fmt: skip


# --- the whole file ---------------------------------------------------------------------------


def problems(root: Node, architecture: str) -> Iterator[Problem]:
    """All that Windows Setup would stop at or skip."""
    if root.name != "unattend":
        yield root.line, f"the root is {root.name}, not unattend in the namespace {NAMESPACE}"
        return
    passes: dict[str, int] = {}
    for settings in root.children:
        if settings.name not in ("settings", "servicing") and "cpi" not in settings.name:
            yield settings.line, f"{settings.name}: only settings stand in unattend"
        if settings.name != "settings":
            continue
        name = settings.attributes.get("pass", "")
        if name not in PASSES:
            yield settings.line, f"there is no pass {name!r}; the passes are {', '.join(PASSES)}"
            continue
        if name in passes:
            yield settings.line, f"the pass {name} stands in line {passes[name]} already"
        passes[name] = settings.line
        yield from _settings(settings, name, architecture)


def _settings(settings: Node, pass_: str, architecture: str) -> Iterator[Problem]:
    seen: dict[tuple[str, str], int] = {}
    for component in settings.children:
        name = component.attributes.get("name", "")
        if component.name != "component":
            yield component.line, f"{component.name}: only components stand in settings"
            continue
        key = (name, component.attributes.get("processorArchitecture", ""))
        if key in seen:
            yield component.line, f"{name} stands in line {seen[key]} of {pass_} already"
        seen[key] = component.line
        yield from _attributes(component, name, architecture)
        yield from _component(component, name, pass_, architecture)
    if settings.children and not any(
        each.attributes.get("processorArchitecture") in (architecture, "neutral")
        for each in settings.children
    ):
        yield settings.line, f"{pass_} holds nothing for {architecture}, so Windows skips it"


def _attributes(component: Node, name: str, architecture: str) -> Iterator[Problem]:
    wanted = {
        "publicKeyToken": {_TOKEN},
        "language": {"neutral"},
        "versionScope": {"nonSxS", "NonSxS"},
    }
    for attribute, values in wanted.items():
        if component.attributes.get(attribute) not in values:
            yield component.line, f'{name} needs {attribute}="{min(values, key=str.swapcase)}"'
    found = component.attributes.get("processorArchitecture")
    if found not in ("amd64", "arm64", "x86", "neutral", "wow64"):
        yield (
            component.line,
            f"{name}: there is no processorArchitecture {found!r}; here it is {architecture}",
        )


def _component(component: Node, name: str, pass_: str, architecture: str) -> Iterator[Problem]:
    known = COMPONENTS.get(name)
    if known is None:
        yield (
            component.line,
            f"{name}: no component of Windows that is known here; Setup stops at it",
        )
        return
    if pass_ not in known[0].split():
        yield component.line, f"{name} is not read in {pass_}, but in {', '.join(known[0].split())}"
        return
    # For another processor it is skipped, and may be wrong.
    if known[1] and component.attributes.get("processorArchitecture") == architecture:
        yield from known[1](component, name.removeprefix("Microsoft-Windows-"))
