"""The components of Windows that unattend.xml may set: in which passes, what, and in which form.

Microsoft publishes no schema of it (Windows SIM reads one out of an image), so this is our own,
from the "Unattended Windows Setup Reference": the components that answer files use, whole; of the
others, in which passes they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from deployer.answers.grammars.windows_rules import (
    Many,
    Problem,
    Rule,
    group,
    leaf,
    list_of,
    matching,
    number,
    one_of,
    text,
)
from deployer.answers.grammars.windows_xml import Node

BOOLEAN = one_of("true", "false")


def _any(node: Node, path: str) -> Iterator[Problem]:
    """Whatever is in there, nobody documents what may be."""
    return iter(())


_SHOW = one_of("Always", "Never", "OnError")
_KEY = matching(
    r"[A-Za-z0-9]{5}(-[A-Za-z0-9]{5}){4}", "a product key of five times five characters"
)
_KEY_OR_NOTHING = matching(
    r"([A-Za-z0-9]{5}(-[A-Za-z0-9]{5}){4})?",
    "a product key of five times five characters, or nothing",
)
_LOCALE = matching(
    r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}|[0-9A-Fa-f]{4}", "a locale such as de-CH"
)
_INPUT = matching(
    r"([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){1,3}|[0-9A-Fa-f]{4}:[0-9A-Fa-f]{8}"
    r"|[0-9A-Fa-f]{4}:\{[0-9A-Fa-f-]{36}\}\{[0-9A-Fa-f-]{36}\})"
    r"(;([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){1,3}|[0-9A-Fa-f]{4}:[0-9A-Fa-f]{8}))*",
    "a locale or a layout such as 0807:00000807",
)  # fmt: skip
_COMPUTER = leaf(
    lambda text: text == "*" or (
        0 < len(text) <= 15 and not text.isdigit()
        and not re.search(r"[\s{|}~\[\\\]^':;<=>?@!\"#$%`()+/.,*&]", text)
    ),
    "a computer's name: at most 15 characters, not digits alone, no blanks and none of"
    " { | } ~ [ \\ ] ^ ' : ; < = > ? @ ! \" # $ % ` ( ) + / . , * &",
)  # fmt: skip
# "The maximum length is 259 characters": RunSynchronousCommand and RunAsynchronousCommand, Path.
_COMMAND = text(259, 1)
_CREDENTIALS = group({"Domain": text(), "Username": text(), "Password": text()})


def _password(node: Node, path: str) -> Iterator[Problem]:
    yield from group({"Value": text(1024), "PlainText": BOOLEAN}, ("Value",))(node, path)
    if node.value("PlainText") != "false" and node.value("Value"):
        way = f"write PlainText false and base64 of UTF-16LE of the password and {node.name!r}"
        hidden = "which hides it from a glance alone; or leave it to the profile"
        yield node.line, f"{path} is in the clear; {way}, {hidden}"


_RUN_SYNCHRONOUS = list_of("RunSynchronousCommand", group({
    "Order": number(1, 500), "Path": _COMMAND, "Description": text(), "Credentials": _CREDENTIALS,
    "WillReboot": one_of("Always", "Never", "OnRequest"),
}, ("Order", "Path")), key="Order")  # fmt: skip
_RUN_ASYNCHRONOUS = list_of("RunAsynchronousCommand", group({
    "Order": number(1, 500), "Path": _COMMAND, "Description": text(), "Credentials": _CREDENTIALS,
}, ("Order", "Path")), key="Order")  # fmt: skip
_LANGUAGES: dict[str, Rule] = {
    "InputLocale": _INPUT, "SystemLocale": _LOCALE, "UILanguage": _LOCALE,
    "UILanguageFallback": _LOCALE, "UserLocale": _LOCALE,
}  # fmt: skip
_DISK = group({
    "DiskID": number(0, 99), "WillWipeDisk": BOOLEAN,
    "CreatePartitions": list_of("CreatePartition", group({
        "Order": number(1, 128), "Size": number(1, 10**9), "Extend": BOOLEAN,
        "Type": one_of("Primary", "EFI", "Extended", "Logical", "MSR"),
    }, ("Order", "Type")), key="Order"),
    "ModifyPartitions": list_of("ModifyPartition", group({
        "Order": number(1, 128), "PartitionID": number(1, 128), "Active": BOOLEAN,
        "Extend": BOOLEAN, "Format": one_of("NTFS", "FAT32"), "Label": text(32),
        "Letter": matching("[C-Zc-z]", "a letter from C to Z"),
        "TypeID": matching(
            r"0x[0-9A-Fa-f]{2}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", "0x27 or a GUID"
        ),
    }, ("Order", "PartitionID")), key="Order"),
}, ("DiskID",))  # fmt: skip
_FROM = group({
    "Path": text(), "Credentials": _CREDENTIALS,
    "MetaData": Many(group({
        "Key": matching(
            r"/IMAGE/(NAME|INDEX|DESCRIPTION|DISPLAYNAME|DISPLAYDESCRIPTION)",
            "/IMAGE/NAME or /IMAGE/INDEX",
        ),
        "Value": text(256, 1),
    }, ("Key", "Value"))),
})  # fmt: skip
_TO = group({"DiskID": number(0, 99), "PartitionID": number(1, 128)}, ("DiskID", "PartitionID"))
_OS_IMAGE = group({
    "InstallFrom": _FROM, "InstallTo": _TO, "InstallToAvailablePartition": BOOLEAN,
    "Compact": BOOLEAN, "WillShowUI": _SHOW,
})  # fmt: skip
_SETUP = group({
    "DiskConfiguration": group({
        "Disk": Many(_DISK), "WillShowUI": _SHOW, "DisableEncryptedDiskProvisioning": BOOLEAN,
    }),
    "ImageInstall": group({"OSImage": _OS_IMAGE, "DataImage": Many(_any)}),
    "UserData": group({
        "AcceptEula": BOOLEAN, "FullName": text(63), "Organization": text(63),
        "ProductKey": group({"Key": _KEY_OR_NOTHING, "WillShowUI": _SHOW}),
    }),
    "RunSynchronous": _RUN_SYNCHRONOUS, "RunAsynchronous": _RUN_ASYNCHRONOUS,
    "ComplianceCheck": group({"DisplayReport": _SHOW}), "Diagnostics": group({"OptIn": BOOLEAN}),
    "DynamicUpdate": group({"Enable": BOOLEAN, "WillShowUI": _SHOW}),
    "UpgradeData": group({"Upgrade": BOOLEAN, "WillShowUI": _SHOW}),
    "Display": _any, "PageFile": _any, "WindowsDeploymentServices": _any, "EnableFirewall": BOOLEAN,
    "EnableNetwork": BOOLEAN, "LogPath": text(), "Restart": one_of("Restart", "Shutdown"),
    "UseConfigurationSet": BOOLEAN,
})  # fmt: skip
_OOBE = group({
    "HideEULAPage": BOOLEAN, "HideLocalAccountScreen": BOOLEAN,
    "HideOEMRegistrationScreen": BOOLEAN, "HideOnlineAccountScreens": BOOLEAN,
    "HideWirelessSetupInOOBE": BOOLEAN,
    "NetworkLocation": one_of("Home", "Work", "Other"), "ProtectYourPC": number(1, 3),
    "SkipMachineOOBE": BOOLEAN, "SkipUserOOBE": BOOLEAN, "UnattendEnableRetailDemo": BOOLEAN,
    "OEMAppId": text(), "VMModeOptimizations": _any,
})  # fmt: skip
_ACCOUNTS = group({
    "AdministratorPassword": _password, "DomainAccounts": _any,
    "LocalAccounts": list_of("LocalAccount", group({
        "Name": matching(
            r"(?![. ]*\Z)[^\"/\\\[\]:;|=,+*?<>]{1,20}",
            "a name of at most 20 characters, none of \" / \\ [ ] : ; | = , + * ? < >",
        ),
        "Group": text(256), "DisplayName": text(256), "Description": text(256),
        "Password": _password,
    }, ("Name", "Password")), key="Name"),
})  # fmt: skip
_FIRST_LOGON = list_of("SynchronousCommand", group({
    "Order": number(1, 500), "CommandLine": text(1024, 1), "Description": text(),
    "RequiresUserInput": BOOLEAN,
}, ("Order", "CommandLine")), key="Order")  # fmt: skip
_LOGON = list_of("AsynchronousCommand", group({
    "Order": number(1, 500), "CommandLine": text(1024, 1), "Description": text(),
    "RequiresUserInput": BOOLEAN,
}, ("Order", "CommandLine")), key="Order")  # fmt: skip
_SHELL = group({
    "ComputerName": _COMPUTER, "TimeZone": text(256, 1), "ProductKey": _KEY,
    "RegisteredOwner": text(256),
    "RegisteredOrganization": text(256), "OOBE": _OOBE, "UserAccounts": _ACCOUNTS,
    "AutoLogon": group({
        "Enabled": BOOLEAN, "LogonCount": number(0, 9999999), "Username": text(256, 1),
        "Domain": text(256), "Password": _password,
    }),
    "FirstLogonCommands": _FIRST_LOGON, "LogonCommands": _LOGON,
    "BluetoothTaskbarIconEnabled": BOOLEAN,
    "ConvertibleSlateModePromptPreference": _any, "CopyProfile": BOOLEAN,
    "DisableAutoDaylightTimeSet": BOOLEAN, "Display": _any, "DoNotCleanTaskBar": BOOLEAN,
    "FolderLocations": _any, "NotificationArea": _any, "OEMInformation": _any,
    "OEMName": text(256), "OfflineUserAccounts": _any, "ShowPowerButtonOnStartScreen": BOOLEAN,
    "ShowWindowsLive": BOOLEAN,
    "SignInMode": number(0, 2), "StartPanelOff": BOOLEAN, "StartTiles": _any, "TaskbarLinks": _any,
    "Themes": _any, "VisualEffects": _any, "WindowsFeatures": _any, "DesktopOptimization": _any,
    "ClientApplications": _any, "EnableStartMenu": BOOLEAN, "AutoLogonOffline": _any,
})  # fmt: skip
_IDENTIFIER = text(256, 1)
_ADDRESSES = group({"IpAddress": Many(matching(
    r"[0-9.]{7,15}(/[0-9]{1,2})?|[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?",
    "an address such as 10.0.0.7/24",
))})  # fmt: skip
_PROTOCOL = group(
    {"DhcpEnabled": BOOLEAN, "Metric": number(0, 9999), "RouterDiscoveryEnabled": BOOLEAN}
)
_TCPIP = group({
    "Interfaces": list_of("Interface", group({
        "Identifier": _IDENTIFIER, "Ipv4Settings": _PROTOCOL, "Ipv6Settings": _PROTOCOL,
        "UnicastIpAddresses": _ADDRESSES,
        "Routes": list_of("Route", group({
            "Identifier": number(0, 9999), "Prefix": text(64, 1), "NextHopAddress": text(64, 1),
            "Metric": number(0, 9999),
        }, ("Identifier", "Prefix")), key="Identifier"),
    }, ("Identifier",)), key="Identifier"),
    "IcmpRedirectsEnabled": BOOLEAN,
})  # fmt: skip
_DNS = group({
    "DNSDomain": text(255), "DNSSuffixSearchOrder": group({"DomainName": Many(text(255, 1))}),
    "UseDomainNameDevolution": BOOLEAN,
    "Interfaces": list_of("Interface", group({
        "Identifier": _IDENTIFIER, "DNSDomain": text(255), "DNSServerSearchOrder": _ADDRESSES,
        "DisableDynamicUpdate": BOOLEAN, "EnableAdapterDomainNameRegistration": BOOLEAN,
    }, ("Identifier",)), key="Identifier"),
})  # fmt: skip
_DRIVERS = group({"DriverPaths": list_of("PathAndCredentials", group({
    "Path": text(4096, 1), "Credentials": _CREDENTIALS,
}, ("Path",)))})  # fmt: skip
_JOIN = group({"Identification": group({
    "Credentials": _CREDENTIALS, "DebugJoin": BOOLEAN, "DebugJoinOnlyOnThisError": _any,
    "JoinDomain": text(),
    "JoinWorkgroup": text(15), "MachineObjectOU": text(), "MachinePassword": text(),
    "Provisioning": _any, "TimeoutPeriodInMinutes": number(0, 999), "UnsecureJoin": BOOLEAN,
})})  # fmt: skip

# Passes in which a component is read, and its grammar; None: not looked into.
COMPONENTS: dict[str, tuple[str, Rule | None]] = {
    "Microsoft-Windows-International-Core-WinPE": ("windowsPE", group({
        **_LANGUAGES, "LayeredDriver": number(1, 6),
        "SetupUILanguage": group({"UILanguage": _LOCALE, "WillShowUI": _SHOW}, ("UILanguage",)),
    })),
    "Microsoft-Windows-Setup": ("windowsPE", _SETUP),
    "Microsoft-Windows-PnpCustomizationsWinPE": ("windowsPE", _DRIVERS),
    "Microsoft-Windows-PnpCustomizationsNonWinPE": ("offlineServicing auditSystem", _DRIVERS),
    "Microsoft-Windows-LUA-Settings": ("offlineServicing", group({"EnableLUA": BOOLEAN})),
    "Microsoft-Windows-International-Core": ("specialize oobeSystem", group(_LANGUAGES)),
    "Microsoft-Windows-Shell-Setup": (
        "windowsPE offlineServicing generalize specialize auditSystem auditUser oobeSystem", _SHELL,
    ),
    "Microsoft-Windows-Deployment": (
        "generalize specialize auditSystem auditUser oobeSystem",
        group({
            "RunSynchronous": _RUN_SYNCHRONOUS, "RunAsynchronous": _RUN_ASYNCHRONOUS,
            "Reseal": _any, "Generalize": _any, "ExtendOSPartition": _any,
        }),
    ),
    "Microsoft-Windows-TCPIP": ("windowsPE specialize", _TCPIP),
    "Microsoft-Windows-DNS-Client": ("windowsPE specialize", _DNS),
    "Microsoft-Windows-UnattendedJoin": ("offlineServicing specialize", _JOIN),
    "Microsoft-Windows-TerminalServices-LocalSessionManager": (
        "offlineServicing generalize specialize", group({"fDenyTSConnections": BOOLEAN}),
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
